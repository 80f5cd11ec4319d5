/** What the parts of the front share. One of each for a layer; nothing of it is module-level. */
import type { Clock, Log } from '../../base/mod.ts';
import type { DirtyLogFace } from '../../dirty/mod.ts';
import type { Filesystem } from '../../vfs/mod.ts';
import type { OriginFacts } from './contract.ts';
import type { DirtyFileTable } from './files.ts';
import type { Places } from './places.ts';
import type { Presented } from './presented.ts';

export interface WriteBackOptions {
  /**
   * Where data must be before COMMIT and FILE_SYNC are answered: in the log, or where the next layer's COMMIT brings it. Whether that is the
   * next Viaduct or the origin itself is the next layer's matter.
   */
  readonly commit: 'local' | 'next' | 'origin';
  /** `redirect`: never written back, unless the session commits at its end. */
  readonly mode: 'write-back' | 'redirect';
  /** The open epoch is closed when its oldest change is that old: for clients that never sync. */
  readonly dirtyAgeMs: number;
  /** Clean files whose presented times are remembered. */
  readonly records?: number | undefined;
}

export interface Workings {
  readonly next: Filesystem;
  readonly log: DirtyLogFace;
  readonly files: DirtyFileTable;
  readonly presented: Presented;
  readonly places: Places;
  readonly origin: OriginFacts;
  readonly clock: Clock;
  readonly logger: Log;
  readonly options: WriteBackOptions;
  /** Once it is closed nothing may be asked of the log any more. */
  readonly lifetime: { isClosed: boolean };
}

/**
 * The answer to a call that the end of the session overtook: none. An error would reach a guest whose mount is to survive the
 * restart; without an answer it asks again.
 */
export function withheld<Reply>(): Promise<Reply> {
  return new Promise(() => {});
}
