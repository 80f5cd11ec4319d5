/** The one answer: is everything at the origin, and if not, what, how old, and for how long still. Plain data; docs/status.md has it field by field. */
import type { DrainStatus } from '../layers/mod.ts';
import type { LeaseState } from '../vfs/mod.ts';
import type { DiskState, LogDisk } from './log-disk.ts';
import type { CommitPlace, LoggedPolicy } from './write-policy.ts';

export interface PendingFile {
  /** Inside the export, as clients see it; `.../NAME` if only the last name is known; undefined while none is. */
  readonly path: string | undefined;
  /** The NFS file handle, in hex. */
  readonly handle: string;
  /** Bytes that the origin does not have; what was overwritten here counts once. */
  readonly bytes: number;
  readonly size: number;
  readonly oldestAgeMs: number;
}

export interface ConflictStatus {
  readonly path: string | undefined;
  readonly handle: string;
  readonly kind: 'changed' | 'gone' | 'interleaved';
  readonly atMs: number;
  /** Where the version of this host is kept; undefined: nowhere else, the origin shows it. */
  readonly savedAs: { readonly where: 'origin' | 'local' | 'log'; readonly name: string } | undefined;
}

export interface WriteBackStatus {
  readonly policy: LoggedPolicy;
  readonly commit: CommitPlace;
  /** Nothing that clients wrote is missing at the origin. Conflicts are told apart. */
  readonly isAtOrigin: boolean;
  readonly pendingBytes: number;
  readonly pendingFiles: number;
  /** How long ago the oldest change was made that the origin does not have. */
  readonly oldestAgeMs: number | undefined;
  readonly drain: DrainStatus;
  /** Since when the origin has not answered; undefined while it does. */
  readonly originAwaySinceMs?: number | undefined;
  /** The largest first, at most `limits.listedDirtyFiles`. */
  readonly files: readonly PendingFile[];
  readonly filesLeftOff: number;
  readonly conflicts: readonly ConflictStatus[];
  readonly lease: LeaseState;
  readonly log: {
    readonly directory: string;
    /** What records fill. */
    readonly usedBytes: number;
    /** What the log takes on its disk: room for records to come is reserved. This is what the limit is about. */
    readonly reservedBytes: number;
    readonly limitBytes: number;
    readonly segments: number;
    readonly epochs: number;
    /** Writers that wait for room: they are slowed to the speed of the link. */
    readonly waitingWriters: number;
    readonly syncs: number;
    readonly failedSyncs: number;
    readonly damagedReads: number;
    /** Absent if the disk cannot be asked. */
    readonly disk?: (LogDisk & { readonly state: DiskState }) | undefined;
  };
}

/** What the end of a session leaves behind in its log. */
export interface LeftBehind {
  readonly policy: LoggedPolicy;
  readonly directory: string;
  readonly bytes: number;
  /** Files with changes that wait, or times that the origin has not taken yet. */
  readonly files: number;
  /** Files in a conflict that nobody has cleared. */
  readonly conflicts: number;
  /** Who took the write lease over: nothing goes on by itself then. */
  readonly lostTo: string | undefined;
}
