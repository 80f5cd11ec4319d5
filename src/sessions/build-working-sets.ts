/** Builds the layer of learned prefetch, what `viaduct warm` does with it, and at a server what takes published sets. */
import type { Clock, Log, Random } from '../base/mod.ts';
import type { CacheStore } from '../cache/mod.ts';
import { BlockCache, WorkingSets } from '../layers/mod.ts';
import type { FileHandle, FileSettingsProvider, Filesystem, Place, WorkingSetPublisher } from '../vfs/mod.ts';
import { ownCredential } from './build-write-back.ts';
import type { ServedOrigin } from './channel.ts';
import { Paths } from './paths.ts';
import { PublishedSets } from './published-sets.ts';
import type { LayerDescription, StackDescription } from './stack.ts';
import { SessionWarming } from './warming.ts';
import { WorkingSetFiles } from './working-set-files.ts';

export interface WorkingSetsWish {
  /** The block cache. */
  readonly next: Filesystem;
  readonly description: Extract<LayerDescription, { layer: 'working-sets' }>;
  readonly cache: CacheStore;
  readonly publisher: WorkingSetPublisher | undefined;
  readonly names: Iterable<readonly [Place, FileHandle]> | undefined;
  /** Since when the origin has been away (milliseconds since 1970); undefined while it answers. */
  readonly awaySinceMs: () => number | undefined;
  readonly settings: FileSettingsProvider | undefined;
}

export interface BuiltWorkingSets {
  readonly layer: WorkingSets;
  readonly warming: SessionWarming;
}

export function buildWorkingSets(
  { next, description, cache, publisher, names, awaySinceMs, settings }: WorkingSetsWish,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): BuiltWorkingSets {
  if (!(next instanceof BlockCache)) throw new Error('working sets are fetched by the block cache below');
  const { directory, purpose, mode } = description;
  const store = new WorkingSetFiles({ directory, clock, log });
  const cacheBytes = cache.stat().sizeBytes;
  const layer = new WorkingSets(next, {
    fetcher: next,
    store,
    publisher,
    purpose,
    mode,
    settings,
    cacheBytes,
    names,
    clock,
    log,
  });
  const credential = ownCredential();
  const paths = new Paths(layer, credential, clock);
  return { layer, warming: new SessionWarming({ layer, paths, credential, clock, awaySinceMs }) };
}

/** Who takes published sets: a server of a directory itself, whoever is between passes them on. */
export function publisherFor(
  top: Filesystem,
  { filesystem, nfs, locator }: ServedOrigin,
  rule: StackDescription['workingSets'],
  tools: { readonly clock: Clock; readonly log: Log; readonly random: Random },
): WorkingSetPublisher | undefined {
  if (rule === undefined || rule.permission === 'none') return undefined;
  const { permission, squash } = rule;
  if (nfs !== undefined) return nfs.data;
  if (locator === undefined) return undefined;
  return new PublishedSets({ top, origin: filesystem, permission, squash, own: ownCredential(), ...tools });
}
