/**
 * Where control sockets lie: one folder a user, that only this user can enter.
 *
 *   $VIADUCT_RUNTIME_DIR, else /run/viaduct for root, else $XDG_RUNTIME_DIR/viaduct, else /tmp/viaduct-UID
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode, ViaductError } from '../base/mod.ts';
import { makeDirectory } from '../native/mod.ts';

export interface RuntimePlace {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
}

export function runtimeDirectory({ environment, uid }: RuntimePlace): string {
  if (environment.VIADUCT_RUNTIME_DIR) return environment.VIADUCT_RUNTIME_DIR;
  if (uid === 0) return '/run/viaduct';
  if (environment.XDG_RUNTIME_DIR) return join(environment.XDG_RUNTIME_DIR, 'viaduct');
  return `/tmp/viaduct-${uid}`;
}

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
