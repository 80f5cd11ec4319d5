/**
 * The contract between layers: the NFSv3 operations under their RFC 1813 names (section 3.3.1 to 3.3.21).
 *
 * Rules that every implementation keeps, and that the compliance suite and the checker assert:
 * - Replies are unions; `status` is a value. An exception is a bug (or the session is being closed). A call that must wait
 *   (the origin is away) is withheld: its promise stays pending.
 * - A reply that is there is returned as it is, without a promise (`Eventual`); pass-through methods return the next
 *   layer's result and are not `async`.
 * - File handles and names are binary strings: one character for each byte (latin1). Handles are at most 64 bytes and mean
 *   the same file for ever; they survive restart and rename. Names hold no `/` and no NUL, are not empty, and are
 *   at most 255 bytes when they reach a `Filesystem` (the NFS server checks that); `.` and `..` are valid only in LOOKUP.
 * - Offsets and sizes are doubles up to 2^53 - 1. Beyond that, READ is past the end of the file and WRITE is FBIG.
 * - Payload is a list of slices. The receiver of a READ reply may keep the slices until it calls `release` (when there is one);
 *   after that the memory may be used again. A layer that keeps data must copy it. WRITE slices are valid until the
 *   reply, and the callee must not change them.
 * - Attributes in replies are the state after the operation, never older than what the same `Filesystem` answered before the
 *   call began.
 */
import type { Eventual } from '../base/mod.ts';
import type { Attributes, FileTypeCode, SetAttributes, Time, WccAttributes, WccData } from './attributes.ts';
import type { Credential } from './credential.ts';
import type { Failure } from './status.ts';
import type { Urgency } from './urgency.ts';

/** One character for each byte, at most 64. */
export type FileHandle = string;
/** One character for each byte. */
export type Name = string;
/** Eight bytes, one character each (writeverf3, cookieverf3, createverf3). */
export type Verifier = string;
export type Payload = readonly Uint8Array[];

/** Who asks, and how much it matters. */
export interface Call {
  readonly credential: Credential;
  /** The client's address, for logs and per-client limits: `127.0.0.1:812`, or a layer's own name. */
  readonly peer: string;
  /** Demand overtakes prefetch wherever the two wait for the same thing. */
  readonly priority: Priority;
  /** Of a prefetch that others may come to wait for: from then on it is a demand. */
  readonly urgency?: Urgency | undefined;
  /** The fencing token of the write lease that the caller holds (channel); eight bytes, one character each. */
  readonly fencing?: string | undefined;
  /** It may have been executed before without an answer: EXIST and NOENT may be its own work. */
  readonly isRepeat?: boolean | undefined;
  /** The caller sends UNSTABLE data again by itself: it is shown the origin's own verifier, and layers between keep no copy. */
  readonly resendsItself?: boolean | undefined;
  /** It came over a connection of a Viaduct that said so (channel): it is shown what ordinary clients are not, `.viaduct`. */
  readonly isViaduct?: boolean | undefined;
  /** What is stable by it must be at the origin itself: also past Viaducts on the way that would keep it on a disk of theirs (channel). */
  readonly reach?: 'origin' | undefined;
}
export type Priority = 'demand' | 'prefetch';

/** stable_how (RFC 1813 3.3.7). */
export const Stability = { UNSTABLE: 0, DATA_SYNC: 1, FILE_SYNC: 2 } as const;
export type StabilityCode = (typeof Stability)[keyof typeof Stability];

/** Bits of ACCESS (RFC 1813 3.3.4). */
export const Access = { READ: 1, LOOKUP: 2, MODIFY: 4, EXTEND: 8, DELETE: 16, EXECUTE: 32, ALL: 63 } as const;

export interface GetattrArguments {
  readonly object: FileHandle;
}
export type GetattrReply = { readonly status: 0; readonly attributes: Attributes } | { readonly status: Failure };

export interface SetattrArguments {
  readonly object: FileHandle;
  readonly set: SetAttributes;
  /** sattrguard3: fail with NOT_SYNC unless the file's ctime is this. */
  readonly guard?: Time | undefined;
  /** As in WRITE. */
  readonly expected?: WccAttributes | undefined;
}
export interface WccReply {
  readonly status: 0 | Failure;
  readonly wcc: WccData;
}

/** A name in a directory (diropargs3). */
export interface Place {
  readonly directory: FileHandle;
  readonly name: Name;
}
export type LookupReply =
  | {
      readonly status: 0;
      readonly object: FileHandle;
      readonly attributes?: Attributes | undefined;
      readonly directoryAttributes?: Attributes | undefined;
    }
  | { readonly status: Failure; readonly directoryAttributes?: Attributes | undefined };

export interface AccessArguments {
  readonly object: FileHandle;
  readonly access: number;
}
/** `access` is a subset of the bits asked for. */
export type AccessReply =
  | { readonly status: 0; readonly attributes?: Attributes | undefined; readonly access: number }
  | { readonly status: Failure; readonly attributes?: Attributes | undefined };

export type ReadlinkReply =
  | { readonly status: 0; readonly attributes?: Attributes | undefined; readonly target: string }
  | { readonly status: Failure; readonly attributes?: Attributes | undefined };

export interface ReadArguments {
  readonly object: FileHandle;
  readonly offset: number;
  readonly count: number;
}
export type ReadReply =
  | {
      readonly status: 0;
      readonly attributes?: Attributes | undefined;
      readonly data: Payload;
      /** Bytes in `data`. Less than asked for only at the end of the file, or when a server chose to. */
      readonly count: number;
      readonly eof: boolean;
      /** Called once when the slices have been sent or copied. */
      readonly release?: (() => void) | undefined;
      /**
       * What the link had to do with it: nothing, or only what other calls had asked for. Then the time that it took says nothing
       * about the link. Absent: this call had the origin send what it answers.
       */
      readonly link?: 'unused' | 'shared' | undefined;
      /** What crossed the link for it, if that was not the data as it is. */
      readonly linkBytes?: number | undefined;
    }
  | { readonly status: Failure; readonly attributes?: Attributes | undefined };

export interface WriteArguments {
  readonly object: FileHandle;
  readonly offset: number;
  readonly count: number;
  readonly stable: StabilityCode;
  /** `count` bytes. */
  readonly data: Payload;
  /**
   * Fail with NOT_SYNC, changing nothing, unless the file still shows this, or what changes with the same `expected` under the same
   * fencing token made of it (so that they can be pipelined). Layers pass it on; file systems that cannot check it ignore it.
   */
  readonly expected?: WccAttributes | undefined;
  /**
   * The server said that it has these sectors: their digests, for all of `data`, which begins and ends with a sector, and the
   * directory that was asked about (`ChunkHolder`). A hint: what is done, whole or in part, is what `data` would have done. NOTSUPP: it does
   * not have them after all, and nothing was done.
   */
  readonly known?: { readonly near: FileHandle; readonly digests: readonly Uint8Array[] } | undefined;
}
export type WriteReply =
  | {
      readonly status: 0;
      readonly wcc: WccData;
      readonly count: number;
      /** At least as stable as asked for. */
      readonly committed: StabilityCode;
      readonly verifier: Verifier;
    }
  | { readonly status: Failure; readonly wcc: WccData };

export interface CreateArguments {
  readonly where: Place;
  readonly how:
    | { readonly mode: 'unchecked' | 'guarded'; readonly set: SetAttributes }
    | { readonly mode: 'exclusive'; readonly verifier: Verifier };
}
export type CreateReply =
  | {
      readonly status: 0;
      readonly object?: FileHandle | undefined;
      readonly attributes?: Attributes | undefined;
      readonly directoryWcc: WccData;
    }
  | { readonly status: Failure; readonly directoryWcc: WccData };

export interface MkdirArguments {
  readonly where: Place;
  readonly set: SetAttributes;
}
export interface SymlinkArguments {
  readonly where: Place;
  readonly set: SetAttributes;
  /** The path in the link, a binary string. */
  readonly target: string;
}
export interface MknodArguments {
  readonly where: Place;
  readonly type: FileTypeCode;
  readonly set: SetAttributes;
  /** For BLOCK and CHARACTER. */
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}
export interface RemoveReply {
  readonly status: 0 | Failure;
  readonly directoryWcc: WccData;
}
export interface RenameArguments {
  readonly from: Place;
  readonly to: Place;
}
export interface RenameReply {
  readonly status: 0 | Failure;
  readonly fromWcc: WccData;
  readonly toWcc: WccData;
}
export interface LinkArguments {
  readonly object: FileHandle;
  readonly where: Place;
}
export interface LinkReply {
  readonly status: 0 | Failure;
  readonly attributes?: Attributes | undefined;
  readonly directoryWcc: WccData;
}

export interface ReaddirArguments {
  readonly directory: FileHandle;
  /** 0, or the cookie of the last entry seen. */
  readonly cookie: bigint;
  readonly cookieVerifier: Verifier;
  /** READDIR: bytes of the whole reply. READDIRPLUS: bytes of names, fileids and cookies. */
  readonly directoryBytes: number;
  /** READDIRPLUS only: bytes of the whole reply. */
  readonly replyBytes: number;
}
export interface DirectoryEntry {
  readonly fileid: bigint;
  readonly name: Name;
  readonly cookie: bigint;
}
export interface DirectoryEntryPlus extends DirectoryEntry {
  readonly object?: FileHandle | undefined;
  readonly attributes?: Attributes | undefined;
}
export type ReaddirReply<Entry extends DirectoryEntry = DirectoryEntry> =
  | {
      readonly status: 0;
      readonly directoryAttributes?: Attributes | undefined;
      readonly cookieVerifier: Verifier;
      readonly entries: readonly Entry[];
      readonly eof: boolean;
    }
  | { readonly status: Failure; readonly directoryAttributes?: Attributes | undefined };

export type FsstatReply =
  | {
      readonly status: 0;
      readonly attributes?: Attributes | undefined;
      /** tbytes, fbytes, abytes; tfiles, ffiles, afiles; invarsec. */
      readonly totalBytes: number;
      readonly freeBytes: number;
      readonly availableBytes: number;
      readonly totalFiles: number;
      readonly freeFiles: number;
      readonly availableFiles: number;
      readonly invariantSeconds: number;
    }
  | { readonly status: Failure; readonly attributes?: Attributes | undefined };

/** Properties of FSINFO (RFC 1813 3.3.19). */
export const FsProperty = { LINK: 1, SYMLINK: 2, HOMOGENEOUS: 8, CANSETTIME: 16 } as const;
export type FsinfoReply =
  | {
      readonly status: 0;
      readonly attributes?: Attributes | undefined;
      readonly readMaximum: number;
      readonly readPreferred: number;
      readonly readMultiple: number;
      readonly writeMaximum: number;
      readonly writePreferred: number;
      readonly writeMultiple: number;
      readonly readdirPreferred: number;
      readonly maximumFileBytes: number;
      readonly timeDelta: Time;
      readonly properties: number;
    }
  | { readonly status: Failure; readonly attributes?: Attributes | undefined };

export type PathconfReply =
  | {
      readonly status: 0;
      readonly attributes?: Attributes | undefined;
      readonly linkMaximum: number;
      readonly nameMaximum: number;
      readonly noTruncation: boolean;
      readonly chownRestricted: boolean;
      readonly caseInsensitive: boolean;
      readonly casePreserving: boolean;
    }
  | { readonly status: Failure; readonly attributes?: Attributes | undefined };

export interface CommitArguments {
  readonly object: FileHandle;
  readonly offset: number;
  /** 0 means to the end of the file. */
  readonly count: number;
}
export type CommitReply =
  | { readonly status: 0; readonly wcc: WccData; readonly verifier: Verifier }
  | { readonly status: Failure; readonly wcc: WccData };

export interface Filesystem {
  /** The handle of the export's root. */
  readonly root: FileHandle;
  /**
   * Names the set of handles: two file systems with equal identities answer equal handles for equal files (server UUID, or
   * server address and fsid). Caches key on it.
   */
  readonly identity: string;

  getattr(call: Call, args: GetattrArguments): Eventual<GetattrReply>;
  setattr(call: Call, args: SetattrArguments): Eventual<WccReply>;
  lookup(call: Call, args: Place): Eventual<LookupReply>;
  access(call: Call, args: AccessArguments): Eventual<AccessReply>;
  readlink(call: Call, args: GetattrArguments): Eventual<ReadlinkReply>;
  read(call: Call, args: ReadArguments): Eventual<ReadReply>;
  write(call: Call, args: WriteArguments): Eventual<WriteReply>;
  create(call: Call, args: CreateArguments): Eventual<CreateReply>;
  mkdir(call: Call, args: MkdirArguments): Eventual<CreateReply>;
  symlink(call: Call, args: SymlinkArguments): Eventual<CreateReply>;
  mknod(call: Call, args: MknodArguments): Eventual<CreateReply>;
  remove(call: Call, args: Place): Eventual<RemoveReply>;
  rmdir(call: Call, args: Place): Eventual<RemoveReply>;
  rename(call: Call, args: RenameArguments): Eventual<RenameReply>;
  link(call: Call, args: LinkArguments): Eventual<LinkReply>;
  readdir(call: Call, args: ReaddirArguments): Eventual<ReaddirReply>;
  readdirplus(call: Call, args: ReaddirArguments): Eventual<ReaddirReply<DirectoryEntryPlus>>;
  fsstat(call: Call, args: GetattrArguments): Eventual<FsstatReply>;
  fsinfo(call: Call, args: GetattrArguments): Eventual<FsinfoReply>;
  pathconf(call: Call, args: GetattrArguments): Eventual<PathconfReply>;
  commit(call: Call, args: CommitArguments): Eventual<CommitReply>;

  /** Waits for what is under way, gives up what cannot finish, frees everything. No call may follow. */
  close(): Promise<void>;
}

export type OperationName = Exclude<keyof Filesystem, 'root' | 'identity' | 'close'>;
