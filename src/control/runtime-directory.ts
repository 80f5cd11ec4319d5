/**
 * Where control sockets lie: one folder a user, that only this user can enter
 * (src/base/runtime-directory.ts says which).
 */
import { lstatSync } from 'node:fs';
import { systemCode, ViaductError } from '../base/mod.ts';
import { makeDirectory } from '../native/mod.ts';

/** Makes the folder. One that belongs to somebody else is refused: /tmp is everybody's. */
export function prepareRuntimeDirectory(directory: string, uid: number): void {
  try {
    makeDirectory(directory, 0o700);
    const stat = lstatSync(directory);
    if (!stat.isDirectory() || stat.uid !== uid) throw new Error(`it belongs to uid ${stat.uid}`);
  } catch (error) {
    throw new ViaductError(systemCode(error) === 'EACCES' ? 'PRIVILEGE_NEEDED' : 'CONFIGURATION_INVALID', {
      cause: `the runtime directory ${directory} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      remedy: 'Set VIADUCT_RUNTIME_DIR to a directory of your own.',
      from: error,
    });
  }
}
