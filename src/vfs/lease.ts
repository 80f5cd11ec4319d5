/**
 * Write leases: who may change a tree. One holder a tree; each holding has a token, and every mutating call of the holder carries
 * it (`Call.fencing`), so that what a former holder sent late can be told apart and refused.
 *
 * Invariants: tokens rise strictly, over all trees, restarts and losses of the store; a lease ends by release, by a take-over or by
 * an administrator, never by time alone (time may make it breakable: then the next who asks takes it over).
 */
import type { WccAttributes } from './attributes.ts';
import type { FileHandle } from './filesystem.ts';

/** Eight bytes, one character each; big-endian, so that comparing the strings compares the numbers. */
export type LeaseToken = string;

/** What a client knows of its own lease. `none`: the server knows no leases, or none was asked for. */
export type LeaseState =
  | { readonly state: 'none' | 'held' }
  /** `problem`: why it is not there yet, if that is known. */
  | { readonly state: 'acquiring'; readonly problem?: string | undefined }
  | { readonly state: 'lost'; readonly holder: string; readonly sinceMs: number };

/** The latest lease of a tree. Times are milliseconds since 1970 by the server's clock. */
export interface LeaseRecord {
  /** The handle of the tree's directory. */
  readonly tree: FileHandle;
  /** Where it was, from the root of the export, when the lease was given: for people. `/` is the whole export. */
  readonly path: string;
  readonly token: LeaseToken;
  /** For people: a host's name. */
  readonly holder: string;
  /** 16 bytes, one character each: the same holder after its own restart. */
  readonly instance: string;
  readonly sinceMs: number;
  /** The latest sign of life that was written down. */
  readonly seenMs: number;
  /** Set when it is over; `broken` by whom. */
  readonly ended: { readonly how: 'released' | 'broken'; readonly by: string; readonly atMs: number } | undefined;
}

export interface LeaseRequest {
  readonly tree: FileHandle;
  readonly path: string;
  readonly holder: string;
  readonly instance: string;
  readonly atMs: number;
  /** Leases that end by this one (its own former one, or those taken over), by their trees. */
  readonly replaces: readonly FileHandle[];
  /** `version()` when the caller looked: if another process has changed something since, nothing is granted. */
  readonly seenVersion: number;
}

export interface NotedChange {
  readonly token: LeaseToken;
  readonly file: FileHandle;
  readonly base: WccAttributes;
}

/**
 * Where leases are remembered. Synchronous: a lease is granted and ended rarely. Methods throw ViaductError LEASE_STORE_FAILED
 * if the store cannot be read or written; then nothing has changed.
 */
export interface LeaseStore {
  /** 16 bytes, one character each: names the server; the same as long as the store lives. */
  readonly serverId: string;
  /** Changes whenever somebody else (another process) changed something; comparing it is cheap. */
  version(): number;
  /** Leases that are held, oldest first. */
  held(): readonly LeaseRecord[];
  /** The latest lease of that tree, also one that has ended lately. */
  find(tree: FileHandle): LeaseRecord | undefined;
  /** Durable when it returns. Undefined: `seenVersion` is out of date; look again. */
  grant(request: LeaseRequest): LeaseRecord | undefined;
  /** Notes a sign of life; no more than a hint after a crash. False if that token's lease is not held. */
  renew(tree: FileHandle, token: LeaseToken, atMs: number): boolean;
  /** Ends a lease, durably. False if that token's lease is not held. */
  end(
    tree: FileHandle,
    token: LeaseToken,
    ended: { readonly how: 'released' | 'broken'; readonly by: string; readonly atMs: number },
  ): boolean;
  /**
   * Notes that the holder of `token` began to change a file that showed `base`: after a restart, what the file shows may be that
   * change. Survives kill -9; one a file, bounded, the oldest are forgotten, and those of a lease when it ends.
   */
  noteChange(token: LeaseToken, file: FileHandle, base: WccAttributes): void;
  notedChanges(): readonly NotedChange[];
  close(): void;
}
