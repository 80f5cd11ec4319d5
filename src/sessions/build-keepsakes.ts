/** Builds the layer that carries what the caches below it know over a restart of the process. */
import type { Clock, Log } from '../base/mod.ts';
import { AccessCache, AttributeCache, Keepsakes } from '../layers/mod.ts';
import { bootId } from '../native/mod.ts';
import type { Filesystem } from '../vfs/mod.ts';
import { KeepsakeFile } from './keepsake-file.ts';

export function buildKeepsakes(
  next: Filesystem,
  path: string,
  below: readonly object[],
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Keepsakes {
  const access = below.find((layer) => layer instanceof AccessCache);
  const attributes = below.find((layer) => layer instanceof AttributeCache);
  if (access === undefined || attributes === undefined) throw new Error('keepsakes are of the caches below');
  // Without a boot id nothing is found again: safe.
  const store = new KeepsakeFile({ path, boot: bootId() ?? `${process.pid}`, identity: next.identity, log });
  return new Keepsakes(next, { clock, store, access, attributes });
}
