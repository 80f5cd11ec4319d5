/**
 * Where control sockets lie: one folder a user, that only this user can enter
 * (src/base/runtime-directory.ts says which).
 */
import { lstatSync } from 'node:fs';
import { systemCode, ViaductError } from '../base/mod.ts';
import { makeDirectory } from '../native/mod.ts';

/**
 * Makes the folder. One that belongs to somebody else is refused: /tmp is everybody's. So is one where others may put sockets of their own in
 * place of ours; that they can look into it is no matter, for the sockets are ours alone.
 */
export function prepareRuntimeDirectory(directory: string, uid: number): void {
  try {
    makeDirectory(directory, 0o700);
    const stat = lstatSync(directory);
    if (!stat.isDirectory()) throw new Error('it is no directory');
    if (stat.uid !== uid) throw new Error(`it belongs to uid ${stat.uid}`);
    if ((stat.mode & 0o022) !== 0) throw openToOthers(directory, stat.mode & 0o777);
  } catch (error) {
    if (error instanceof ViaductError) throw error;
    throw new ViaductError(systemCode(error) === 'EACCES' ? 'PRIVILEGE_NEEDED' : 'CONFIGURATION_INVALID', {
      cause: `the runtime directory ${directory} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      remedy: 'Set VIADUCT_RUNTIME_DIR to a directory of your own.',
      from: error,
    });
  }
}

function openToOthers(directory: string, mode: number): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `the runtime directory ${directory} cannot be used: others than its owner may write to it (mode ${mode.toString(8).padStart(4, '0')}).`,
    remedy: `Run: chmod 700 ${directory}; or set VIADUCT_RUNTIME_DIR to a directory of your own.`,
  });
}
