/**
 * The face of the dirty log: data that clients wrote and the origin does not have yet (docs/cache-format.md, "The dirty log").
 *
 * Append-only; data and record together. Files are small numbers that the user of the log names once; what else must be
 * remembered of them are notes, opaque here. A log belongs to one session and is open once.
 *
 *     open epoch: [w][w][size][w] --group commit or name operation: SEAL--> sealed epochs, oldest first --drained--> trimmed
 *
 * Invariants:
 * - What `append` answered survives kill -9; what `stabilize` covered survives a power loss. Recovery keeps exactly a prefix of
 *   the records, at least up to the last one that was stable. Damage inside the stable part is an error (LOG_DAMAGED) and
 *   changes nothing on the disk.
 * - Sealed epochs keep their versions: an overwrite in a later epoch leaves them as they are.
 * - `read` shows the newest version of all epochs that are not drained; a drained epoch is not seen any more.
 * - A record is whole or absent. A full disk or a reached limit delays `append`, it never tears it.
 * - No handle, name or credential is understood here; no time but the given clock, no disk but the given directory.
 */
import type { Clock, Eventual, Log, Random } from '../base/mod.ts';

/** Names a file in this log; never used for another one. 1 and up. */
export type FileNumber = number;
/** Of an epoch; ascending from 1, never used again. */
export type EpochNumber = number;

/** The disk under the log. Rejections carry Node's `code` (ENOSPC, EIO, ...). Tests and simulations bring their own. */
export interface LogDirectory {
  list(): Promise<readonly string[]>;
  /** Makes an empty file with room for `bytes` reserved (fallocate), open for reading and writing. ENOSPC leaves nothing behind. */
  create(name: string, bytes: number): Promise<LogFile>;
  open(name: string): Promise<LogFile>;
  remove(name: string): Promise<void>;
  /** Takes no new room. The file stays open as it was. */
  rename(from: string, to: string): Promise<void>;
  /** Names made or removed so far survive a power loss after it. */
  sync(): Promise<void>;
  /** Gives up the lock on the directory. */
  close(): Promise<void>;
}

export interface LogFile {
  /** Bytes of the file, reserved ones included. */
  readonly size: number;
  /** All of the slices at `position`, or a rejection (any part of them may then be there). Synchronous if that is quicker. */
  write(position: number, slices: readonly Uint8Array[]): Eventual<void>;
  /** Up to `length` bytes (fewer only at the end of the file). Synchronous if they are in memory. */
  read(position: number, length: number): Eventual<Uint8Array>;
  /** Where the next bytes at or after `position` are that may not be zero, `size` if there are none. Absent: that is not known. */
  readonly dataAt?: ((position: number) => number) | undefined;
  /** What was written before the call survives a power loss. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export interface DirtyLogOptions {
  readonly directory: LogDirectory;
  /** Whose data this is (origin identity, session). A log of somebody else is refused with LOG_FOREIGN. At most 1,024 bytes. */
  readonly identity: string;
  /** Bytes that the log may take on its disk. */
  readonly limitBytes: number;
  /** Which boot of the host this is: what was not stable may be lost in another one. */
  readonly bootId: string;
  /** The log is never written back: instead of waiting for the origin, dead records are cleaned away. */
  readonly keeps: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Called when `append` waits for room, and again while it does: whatever can be drained should be. False: nothing will be. */
  readonly onPressure?: (() => unknown) | undefined;
  /** The largest segment (default: an eighth of the limit, 2 to 64 MiB). Tests use small ones. */
  readonly segmentBytes?: number | undefined;
}

export interface Recovery {
  /** A log was there. */
  readonly found: boolean;
  /** The process before ended by `close`, after everything was stable. */
  readonly cleanlyClosed: boolean;
  /** Bytes of records after the stable part that were torn or missing: only another boot can lose them. */
  readonly lostTail: boolean;
  readonly records: number;
  readonly dirtyBytes: number;
}

/** nfstime3, as numbers. */
export interface LogTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** One change of a file's content. */
export interface Change {
  readonly file: FileNumber;
  /** Who made it: a number that the user of the log understands. */
  readonly writer: number;
  /** The file's size and times (mtime and ctime) after the change. */
  readonly sizeAfter: number;
  readonly time: LogTime;
}
export interface WriteChange extends Change {
  readonly offset: number;
  readonly count: number;
  /** `count` bytes, not changed until the answer. */
  readonly data: readonly Uint8Array[];
}

/** `no-room`: the log is full, nothing in it can be drained or cleaned, and nothing was appended. */
export type Appended = 'appended' | 'no-room';

/** What a part of a file is made of at present. */
export interface Piece {
  /** `base`: nothing here is dirty, ask below. `zero`: a hole left by a truncation here. `data`: from the log. */
  readonly kind: 'base' | 'zero' | 'data';
  readonly offset: number;
  readonly count: number;
  /** For `data`: the bytes, or undefined if they do not verify (reported in `stats().damagedReads`, logged once). */
  readonly data?: Eventual<readonly Uint8Array[] | undefined>;
}
export interface View {
  /** Ascending, without gaps, covering what was asked for. */
  readonly pieces: readonly Piece[];
  /** Once, when the bytes are no longer read. */
  release(): void;
}

/** A file's state in the log, over all epochs that are not drained. */
export interface DirtyState {
  readonly size: number;
  readonly time: LogTime;
  /** Bytes that are newest for their place: what a reader gets from the log. */
  readonly dirtyBytes: number;
  /** Smallest size of the file since the base, Infinity if it was never cut: the base is zeros from there on. */
  readonly lowWater: number;
  /** When the oldest change was appended (wall time; survives restarts). */
  readonly oldestMs: number;
  readonly firstEpoch: EpochNumber;
  readonly lastEpoch: EpochNumber;
}

export interface EpochInfo {
  readonly number: EpochNumber;
  /** When its first change was appended (wall time), and when it was sealed. */
  readonly firstMs: number;
  readonly sealedMs: number | undefined;
  /** Bytes of its records in the log. */
  readonly logBytes: number;
  /** Payload bytes of its records; overwritten ones count. */
  readonly payloadBytes: number;
}

/** What an epoch does to one file, coalesced: first `cutTo`, then the extents in any order, then `sizeAfter`. */
export interface FilePlan {
  readonly file: FileNumber;
  /** Make the file this short first; absent if the epoch never cut it. */
  readonly cutTo: number | undefined;
  /** Ascending, disjoint, neighbours of one writer joined however they were written. */
  readonly extents: readonly PlannedExtent[];
  readonly sizeAfter: number;
  readonly time: LogTime;
  /** The writer of the last change. */
  readonly writer: number;
}
export interface PlannedExtent {
  readonly offset: number;
  readonly count: number;
  readonly writer: number;
}
export interface EpochPlan {
  readonly epoch: EpochNumber;
  /** Payload bytes that have to move. */
  readonly bytes: number;
  readonly files: readonly FilePlan[];
  /** The bytes of a part of an extent as this epoch sealed them; all `data`. */
  read(file: FileNumber, offset: number, count: number): View;
  /** When the plan is no longer needed: its memory goes, and records of drained epochs may. */
  release(): void;
}

export interface DirtyLogStats {
  /** What the log takes on its disk, reserved room included. */
  readonly logBytes: number;
  /** Of it, what records fill. */
  readonly recordBytes: number;
  readonly limitBytes: number;
  readonly dirtyBytes: number;
  readonly dirtyFiles: number;
  readonly segments: number;
  /** Epochs that hold changes and are not drained, the open one included. */
  readonly epochs: number;
  readonly oldestMs: number | undefined;
  readonly appendedBytes: number;
  readonly syncs: number;
  readonly failedSyncs: number;
  readonly waitingWriters: number;
  readonly damagedReads: number;
}

export interface DirtyLogFace {
  readonly recovery: Recovery;
  /**
   * Eight bytes, one character each: another one once changes that were answered and not stable may be lost (another boot
   * without a clean close; a failed fdatasync).
   */
  readonly verifier: string;

  /** The number of the file with this key (at most 256 bytes), made if need be; durable with the first change that uses it. */
  file(key: string): FileNumber;
  /**
   * The number is not used any more until `file` has answered it again: once nothing of the file is dirty or void, it is forgotten, and its
   * key has another number after that. So it is from the start with all files that are found in the log.
   */
  release(file: FileNumber): void;
  keyOf(file: FileNumber): string | undefined;
  /** Notes: small things to remember, ordered with the changes, durable with the next `stabilize` or `sync`. undefined forgets. Values are at most 4,096 bytes. */
  note(key: string, value: Uint8Array | undefined): void;
  noted(key: string): Uint8Array | undefined;
  notes(prefix: string): Iterable<readonly [string, Uint8Array]>;

  write(change: WriteChange): Eventual<Appended>;
  /** The file is `sizeAfter` long from now on; growing leaves a hole. */
  resize(change: Change): Eventual<Appended>;
  /** The file is gone, or was saved elsewhere: all that is dirty of it is void, in every epoch. Durable with the next sync. */
  drop(file: FileNumber): void;

  /** Undefined: nothing of the file is dirty. */
  state(file: FileNumber): DirtyState | undefined;
  dirtyFiles(): Iterable<FileNumber>;
  /** `offset + count` is at most the file's size. Its I/O begins in the call: a later trim does no harm. */
  read(file: FileNumber, offset: number, count: number): View;

  /** Group commit, which seals the epoch as it begins: all changes answered before the call are stable. Rejects with LOG_FAILED. */
  stabilize(): Promise<void>;
  /** The same for notes and changes without sealing. */
  sync(): Promise<void>;
  /** Notes made before the call survive kill -9 from then on (not a power loss). Undefined: they do already. */
  written(): Eventual<void>;
  /** Closes the open epoch if it holds changes; answers the newest sealed epoch that is not drained, 0 if there is none. */
  seal(): EpochNumber;
  /** Not drained, oldest first; the last one may be open (`sealedMs` undefined). */
  epochs(): readonly EpochInfo[];
  /** Only of the oldest sealed epoch. Rejects with LOG_DAMAGED if its records do not verify. */
  plan(epoch: EpochNumber): Promise<EpochPlan>;
  /**
   * The origin has the epoch, durably. The next `sync` makes that durable; it must be before anything of the next epoch leaves, or
   * a power loss would send this one over the next.
   */
  drained(epoch: EpochNumber): void;
  /**
   * Whether epochs that wait overwrite in place (or cut off) bytes of files other than `file` that were there before the epoch: at the origin
   * (`existedBefore`: the size below, asked of files that were clean before the epoch), or through an earlier epoch. Of epochs after
   * the first one that holds `file`; of all of them if nothing of it is dirty, or it was not empty before that.
   */
  overwritesAfter(file: FileNumber | undefined, existedBefore: (other: FileNumber) => number): boolean;
  /** Forgets all changes, notes stay (redirect, discard). */
  discard(): Promise<void>;

  stats(): DirtyLogStats;
  /** Makes everything stable, notes that, and frees everything. Waiting writers reject. */
  close(): Promise<void>;
}
