/**
 * What two Viaducts can do for each other that NFS cannot, as the layers of either side see it (docs/channel.md). On a plain NFS server
 * `can...` is false, and may become so at any moment: then the calls answer NOTSUPP, and the caller does without.
 *
 * Invariant: whatever comes this way passes the same checks at the server as its plain NFS counterpart.
 */
import type { Eventual } from '../base/mod.ts';
import type { Attributes } from './attributes.ts';
import type { Call, FileHandle, GetattrArguments, Name, Payload, Place } from './filesystem.ts';
import type { Failure } from './status.ts';

export interface ReadRange {
  readonly offset: number;
  /** At least 1. */
  readonly count: number;
}
export interface VectorReadArguments {
  readonly object: FileHandle;
  readonly ranges: readonly ReadRange[];
}
export type RangeReply =
  | {
      readonly status: 0;
      /** The caller's for good; zeros may be slices of one shared buffer, which must not be changed. */
      readonly data: Payload;
      /** Bytes in `data`; less than asked for as in READ. */
      readonly count: number;
      readonly eof: boolean;
    }
  | { readonly status: Failure };
export type VectorReadReply =
  | {
      readonly status: 0;
      /** Of the version of the file that all the data is of; absent: that could not be told. */
      readonly attributes?: Attributes | undefined;
      /** In the order of the ranges; fewer if the server stopped early, at least one. */
      readonly results: readonly RangeReply[];
    }
  | { readonly status: Failure };

/** Many ranges of a file in one call, compressed on the way, zeros not sent. */
export interface VectorReader {
  canReadVectors(): boolean;
  /** Most ranges of one call, and most bytes of all of them together. */
  readonly vectorRanges: number;
  readonly vectorBytes: number;
  readVector(call: Call, args: VectorReadArguments): Promise<VectorReadReply>;
}

export interface WalkArguments {
  readonly directory: FileHandle;
  /** Looked up one in the other. */
  readonly names: readonly Name[];
}
export interface WalkStep {
  readonly object: FileHandle;
  readonly attributes?: Attributes | undefined;
}
export interface WalkReply {
  /** What the look-up of the first name that was not found answered; 0: all were found. */
  readonly status: 0 | Failure;
  /** As far as it got. */
  readonly steps: readonly WalkStep[];
  /** Of the directory that the last look-up was in. */
  readonly directoryAttributes?: Attributes | undefined;
}

/** A path in one round trip. */
export interface PathWalker {
  canWalk(): boolean;
  readonly walkNames: number;
  walk(call: Call, args: WalkArguments): Promise<WalkReply>;
}

export type IdentityReply =
  | {
      readonly status: 0;
      /** 16 bytes, one character each: names where the files really are, through any number of Viaducts. */
      readonly origin: string;
      /** Viaducts between that place and whoever answers. */
      readonly hops: number;
      /** What the origin itself shows of the file: also while a proxy between presents something else. */
      readonly attributes: Attributes;
    }
  | { readonly status: Failure };

export interface OriginIdentifier {
  identify(call: Call, args: GetattrArguments): Eventual<IdentityReply>;
}

/** A sector of a file. */
export interface ChunkPlace {
  readonly object: FileHandle;
  readonly offset: number;
}

/** What a server knows of where content lies. */
export interface ChunkSource {
  /** Called before `find`: learns, as far as it likes, what lies near this directory (or does nothing: another kind of object). */
  prepare(call: Call, near: FileHandle): Eventual<void>;
  /** Where a sector with this digest (16 bytes, as in content meta-data) may lie, most probable first: the caller reads and verifies. */
  find(digest: Uint8Array): readonly ChunkPlace[];
}

export interface HaveArguments {
  /** A directory near which it may lie. */
  readonly near: FileHandle;
  /** Of sectors; 16 bytes each. */
  readonly digests: readonly Uint8Array[];
}
export interface HaveReply {
  readonly status: 0 | Failure;
  /** Which of them the server could supply now; no promise. */
  readonly found: { has(item: number): boolean };
}

/** A server that may have what is to be written to it: then `WriteArguments.known` saves the way. */
export interface ChunkHolder {
  canReference(): boolean;
  have(call: Call, args: HaveArguments): Promise<HaveReply>;
}

export interface PublishArguments {
  /** Where the file is. */
  readonly place: Place;
  /** A working set as in docs/content-format.md, of one run. */
  readonly set: Uint8Array;
}

/** Takes what was learned of a file, for whoever uses it next; under a permission of its own (docs/channel.md). */
export interface WorkingSetPublisher {
  canPublish(): boolean;
  publishWorkingSet(call: Call, args: PublishArguments): Promise<{ readonly status: 0 | Failure }>;
}
