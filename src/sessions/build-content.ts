/** Builds the layer that reads content meta-data and packs, with what it knows of this host's chunks. */
import type { Clock, Log } from '../base/mod.ts';
import type { CleanCache } from '../cache/mod.ts';
import { Content } from '../layers/mod.ts';
import type { FileHandle, Filesystem, PathWalker, Place } from '../vfs/mod.ts';
import { HintsFile } from './hints-file.ts';

export interface ContentWish {
  readonly next: Filesystem;
  readonly cache: CleanCache;
  readonly cacheDirectory: string;
  readonly walker: PathWalker | undefined;
  readonly names: Iterable<readonly [Place, FileHandle]> | undefined;
  readonly isPackNear: (() => boolean) | undefined;
  readonly onWantedWhole: (file: FileHandle) => void;
}

export function buildContent(
  { next, cache, cacheDirectory, ...more }: ContentWish,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): { readonly layer: Content; readonly hints: HintsFile } {
  const cacheBytes = cache.stat().sizeBytes;
  const version = (): number => layer.taughtCount;
  const hints = new HintsFile({ directory: cacheDirectory, cacheBytes, clock, log, version });
  const layer: Content = new Content(next, { store: cache, hints: hints.index, clock, log, ...more });
  return { layer, hints };
}
