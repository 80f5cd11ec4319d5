/** Builds the layer that reads content meta-data and packs, with what it knows of this host's chunks. */
import type { Clock, Log } from '../base/mod.ts';
import type { CacheStore } from '../cache/mod.ts';
import { Content } from '../layers/mod.ts';
import type { FileHandle, Filesystem, PathWalker, Place } from '../vfs/mod.ts';
import { type HintsUse, SharedHints } from './shared-hints.ts';

export interface ContentWish {
  readonly next: Filesystem;
  readonly cache: CacheStore;
  readonly cacheDirectory: string;
  readonly walker: PathWalker | undefined;
  readonly names: Iterable<readonly [Place, FileHandle]> | undefined;
  readonly isPackNear: (() => boolean) | undefined;
  readonly onWantedWhole: (file: FileHandle) => void;
}

export interface ContentTools {
  readonly clock: Clock;
  readonly log: Log;
  /** Of all who use the cache; default: its own. */
  readonly hints?: SharedHints | undefined;
}

export function buildContent(
  { next, cache, cacheDirectory, ...more }: ContentWish,
  { clock, log, hints: given }: ContentTools,
): { readonly layer: Content; readonly hints: HintsUse } {
  const { sizeBytes: cacheBytes } = cache.stat();
  const shared = given ?? new SharedHints({ directory: cacheDirectory, cacheBytes, isOnlyWriter: true, clock, log });
  const hints = shared.use((): number => layer.taughtCount);
  const layer: Content = new Content(next, { store: cache, hints: hints.index, clock, log, ...more });
  return { layer, hints };
}
