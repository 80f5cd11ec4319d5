/** What a server's leases offer to those who ask over the channel. Refusals are values. */
import type { Eventual } from '../base/mod.ts';
import type { Call, FileHandle } from './filesystem.ts';
import type { LeaseToken } from './lease.ts';
import type { Failure } from './status.ts';

/** A lease as others see it. Times are milliseconds since 1970 by the server's clock. */
export interface LeaseHolder {
  readonly path: string;
  readonly holder: string;
  readonly sinceMs: number;
  readonly seenMs: number;
  /** When whoever asks gets it, without having to say "take over"; 0: never. */
  readonly breakableMs: number;
}

export interface AcquireArguments {
  readonly tree: FileHandle;
  /** Printable ASCII, 1 to 255 characters. */
  readonly holder: string;
  /** 16 bytes, one character each. Who holds the lease already and comes with the same gets it again, with a new token. */
  readonly instance: string;
  readonly takeOver: boolean;
}
export interface LeaseReference {
  readonly tree: FileHandle;
  readonly token: LeaseToken;
}

interface LeaseRefusal {
  readonly outcome: 'refused';
  /** STALE, NOTDIR, ACCES, ROFS; NOTSUPP: this server can lease the whole export only; INVAL; SERVERFAULT: its store failed. */
  readonly status: Failure;
}
export type AcquireReply =
  | { readonly outcome: 'granted'; readonly token: LeaseToken; readonly renewMs: number; readonly path: string }
  | { readonly outcome: 'held'; readonly by: LeaseHolder }
  | LeaseRefusal;
/** `ended`: released, by the holder or an administrator, and nobody has held it since. */
export type RenewReply =
  | { readonly outcome: 'held'; readonly renewMs: number }
  | { readonly outcome: 'ended' }
  | { readonly outcome: 'lost'; readonly holder: string; readonly sinceMs: number }
  | LeaseRefusal;
export type ReleaseReply = { readonly outcome: 'released' | 'not-held' } | LeaseRefusal;
export type LeaseStatusReply =
  | { readonly outcome: 'listed'; readonly leases: readonly LeaseHolder[]; readonly more: boolean }
  | LeaseRefusal;

export interface LeaseService {
  /** Granted only after every change that was let through before has been answered. */
  acquire(call: Call, args: AcquireArguments): Eventual<AcquireReply>;
  renew(call: Call, args: LeaseReference): Eventual<RenewReply>;
  release(call: Call, args: LeaseReference): Eventual<ReleaseReply>;
  /** The leases that touch this tree: its own, those of trees around it and in it. */
  status(call: Call, args: { readonly tree: FileHandle }): Eventual<LeaseStatusReply>;
}
