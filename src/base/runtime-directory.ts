/**
 * Where processes of one user find each other: a folder that is there as long as the host runs.
 *
 *   $VIADUCT_RUNTIME_DIR, else /run/viaduct for root, else $XDG_RUNTIME_DIR/viaduct, else /tmp/viaduct-UID
 */
import { join } from 'node:path';

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
