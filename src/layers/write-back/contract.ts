/**
 * What the parts of the write-back layer say to each other: the front (calls of clients), the table of files, and the drain
 * (which carries sealed epochs to the origin).
 *
 *     clients ──► front ──changes──► DirtyLog ──sealed epochs──► Drain ──WRITE, COMMIT──► next layer ──► origin
 *                   └──────────────► DirtyFiles (handles, stamps, presented times, conflicts) ◄──────┘
 */
import type { DirtyLogFace, EpochNumber, FileNumber } from '../../dirty/mod.ts';
import type {
  Attributes,
  ChunkHolder,
  Credential,
  FileHandle,
  Filesystem,
  Place,
  Time,
  WccAttributes,
} from '../../vfs/mod.ts';

/** What the layer remembers of a file that is or was dirty; persisted as notes of the log by DirtyFiles. */
export interface FileRecord {
  readonly number: FileNumber;
  readonly handle: FileHandle;
  /** A name that the file was last seen under. */
  readonly place: Place | undefined;
  /** From the root (`/golden/disk.raw`, bytes): for people, while the origin cannot tell. It may have been renamed since. */
  readonly path?: string | undefined;
  /** The origin's attributes that base plus drained epochs are known to show; undefined until first known. */
  readonly base: WccAttributes | undefined;
  /** Of the file at the origin, for retries under its owner's name. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** What clients are shown: while dirty, and after that as long as the origin shows `base`. */
  readonly presented: WccAttributes | undefined;
  /** Times that a client set and the origin has to be told of once the file is clean. */
  readonly times:
    | { readonly atime?: 'server' | Time | undefined; readonly mtime?: 'server' | Time | undefined }
    | undefined;
  /** Set while an epoch of the file is being written to the origin: then unknown attributes may be our own doing. */
  readonly intent:
    | { readonly epoch: EpochNumber; readonly base: WccAttributes; readonly sinceMs: number; readonly aliveMs: number }
    | undefined;
  readonly conflict: Conflict | undefined;
  /** A client's operation that may take its last name is or was under way: if the file is gone at the origin, its data are void. */
  readonly isLeaving?: true | undefined;
}

/** Nothing was overwritten: both versions are kept. The file takes no writes until somebody says that it may (`clear`). */
export interface Conflict {
  readonly atMs: number;
  /** `changed`: another writer changed the file; `gone`: it was removed; `interleaved`: noticed only after the epoch had been written. */
  readonly kind: 'changed' | 'gone' | 'interleaved';
  readonly expected: WccAttributes | undefined;
  readonly found: WccAttributes | undefined;
  /** Where our version is now: a path at the origin (directory's handle is the file's own; this is the name), or a local file. */
  readonly savedAs: { readonly where: 'origin' | 'local' | 'log'; readonly name: string } | undefined;
}

export interface DirtyFiles {
  get(handle: FileHandle): FileRecord | undefined;
  byNumber(file: FileNumber): FileRecord | undefined;
  /** The record, made if need be. */
  open(handle: FileHandle): FileRecord;
  /** Changes some fields and notes them in the log (not yet durable). Returns the new record. */
  update(handle: FileHandle, fields: Partial<Omit<FileRecord, 'number' | 'handle'>>): FileRecord;
  forget(handle: FileHandle): void;
  all(): Iterable<FileRecord>;
  writer(credential: Credential): number;
  credentialOf(writer: number): Credential | undefined;
}

/** What the drain needs to know of the origin beyond `Filesystem`. */
export interface OriginFacts {
  /** Attributes from the origin itself, past every cache. */
  readonly fresh: Pick<Filesystem, 'getattr' | 'lookup'>;
  /** It may have data already that is to be written; absent: it cannot say so. */
  readonly chunks?: ChunkHolder | undefined;
  /** Whether WRITE and SETATTR honour `expected` (WriteArguments). */
  conditionalWrites(): boolean;
  /**
   * Counts whatever may have had a change carried out twice, or lost its answer: restarts of the origin, connections that were made
   * anew, calls that were sent again. Absent: nothing of the kind happens.
   */
  restarts?(): number;
  /**
   * When the connection was lost last while answers were owed (milliseconds of the clock): what was under way then cannot have been
   * carried out much later. Undefined: never.
   */
  lostMs?(): number | undefined;
  /** It is another Viaduct, and what it answers as stable may be on a disk of its own only, unless the call says `reach: 'origin'`. */
  mayKeep?(): boolean;
  /** `none`: the origin knows no leases. `lost`: another host took it over; nothing may be written any more. */
  lease(): LeaseState;
}
export type LeaseState =
  | { readonly state: 'none' | 'held' | 'acquiring' }
  | { readonly state: 'lost'; readonly holder: string; readonly sinceMs: number };

export interface DrainContext {
  readonly log: DirtyLogFace;
  readonly files: DirtyFiles;
  /** The layer below, caches included: what is written goes through them. */
  readonly next: Filesystem;
  readonly origin: OriginFacts;
  /** Told whenever the origin shows what our own write-back made of a file: `presented` stays valid under it. */
  settled(handle: FileHandle, attributes: Attributes): void;
  /** Told what the origin shows of a dirty file when changes of it are about to leave: afterwards ctime is our own doing. */
  looked?(handle: FileHandle, attributes: Attributes): void;
}

export interface DrainOptions {
  /** An epoch leaves this long after its first change (milliseconds); a request or pressure overrides. */
  readonly writeBackAfterMs: number;
  /** Bytes a second to the origin at most; undefined: what the link gives. */
  readonly rateBytesPerSecond: number | undefined;
  /** Bytes on their way at most; undefined: as many as ever are. */
  readonly windowBytes?: number | undefined;
  /** Never by itself (redirect): only when asked. */
  readonly isManual: boolean;
  /** Where versions of conflicts go if the origin does not take them; a directory of this host. */
  readonly conflictDirectory: string | undefined;
  /** Names this host in conflict names. */
  readonly hostName: string;
}

/** How a request to drain ended. */
export interface DrainResult {
  readonly outcome: 'done' | 'conflict' | 'refused' | 'lease-lost' | 'closed';
  /** What was refused and why, one line each, for people. */
  readonly problems: readonly string[];
}

export interface DrainStatus {
  readonly state: 'idle' | 'waiting' | 'writing' | 'origin-away' | 'refused' | 'lease-lost' | 'damaged';
  /** Payload bytes left, and of the epoch under way. */
  readonly pendingBytes: number;
  readonly epochsPending: number;
  readonly movedBytes: number;
  /** Of those: what the origin had already, so that only digests were sent. */
  readonly knownBytes: number;
  /** At present; 0 while nothing moves. */
  readonly bytesPerSecond: number;
  /** Undefined: unknown (nothing moves, or the origin is away). 0: everything is at the origin. */
  readonly secondsLeft: number | undefined;
  readonly problem: string | undefined;
}

export interface DrainFace {
  /** Something was sealed, or time passed: look again. */
  wake(): void;
  /**
   * All up to this epoch (default: everything sealed when called) to the origin, now. Resolves when it is there and durably noted as
   * such (`noted`), or cannot be.
   */
  request(upTo?: EpochNumber): Promise<DrainResult>;
  /**
   * Pending until what was written back is durably noted as such: before that, a power loss here sends it once more, over whatever came
   * later. Undefined: it is. Rejects with LOG_FAILED.
   */
  noted(): Promise<void> | undefined;
  status(): DrainStatus;
  close(): Promise<void>;
}
