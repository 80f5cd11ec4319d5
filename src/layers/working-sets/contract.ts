/** What the layer of working sets needs of others. */
import type { Eventual } from '../../base/mod.ts';
import type { Purpose, WorkingSet } from '../../content/mod.ts';
import type { Call, Failure, FileHandle } from '../../vfs/mod.ts';
import type { WantedBlocks } from '../read-ahead/mod.ts';

/** Keeps sets over restarts, bounded. It may lose them, and never throws. */
export interface WorkingSetStore {
  /** `key`: what the clean cache knows the file by, 16 bytes, one character each. */
  load(key: string, purpose: Purpose): WorkingSet | undefined;
  /** In place of what was kept for the same file and purpose. */
  save(key: string, set: WorkingSet): void;
}

/** Whoever fetches blocks ahead of need: the block cache. */
export interface BlockFetcher {
  want(call: Call, object: FileHandle, wanted: WantedBlocks): Eventual<Failure | 0>;
  stats(): { readonly wantedBytes: number; readonly lastDemandMs: number | undefined };
}

/** The purpose of what was written in the last run, whatever that was for. */
export const writtenPurpose: Purpose = 'written';
