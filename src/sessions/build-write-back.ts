/**
 * Builds the write-back layer of a session and what belongs to it: the log under it, the drain, the lease, the names for people.
 *
 *     DirtyLog ──pressure──► WriteBack ──creates──► Drain        SessionWriteBack: status and tasks
 *        └─ notes: policy, instance         OriginFacts: attributes past the caches, conditions, lease
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Clock, type Log, limits, type Random } from '../base/mod.ts';
import type { DirtyLog } from '../dirty/mod.ts';
import { type DirtyFiles, Drain, type DrainFace, type OriginFacts, WriteBack } from '../layers/mod.ts';
import type { NfsOrigin } from '../origins/mod.ts';
import { type Credential, credential, type FileHandle, type Filesystem, type Place } from '../vfs/mod.ts';
import { Paths } from './paths.ts';
import { SessionLease } from './session-lease.ts';
import type { StackDescription } from './stack.ts';
import { SessionWriteBack } from './write-back.ts';
import type { CommitPlace, DirtyRule, LoggedPolicy } from './write-policy.ts';

export interface WriteBackTools {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
}

/** What is there before the layers: the log is open, and the lease is held or being asked for. */
export interface WriteBackGround {
  readonly rule: DirtyRule;
  readonly log: DirtyLog;
  readonly nfs: NfsOrigin | undefined;
  readonly lease: SessionLease | undefined;
}

const instanceNote = 'session/instance';

/** This process, for what it asks in its own name. */
export function ownCredential(): Credential {
  const groups = process.getgroups?.().slice(0, limits.authGroups) ?? [];
  return credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0, groups);
}

/** What the same session is known by in all its lives: kept in its log, given before there is one. */
export function newInstance(random: Random): Uint8Array {
  return random.bytes(new Uint8Array(16));
}

export function noteInstance(log: DirtyLog, fresh: Uint8Array): Uint8Array {
  const noted = log.noted(instanceNote) ?? fresh;
  log.note(instanceNote, noted);
  return noted;
}

export function acquireLease(
  nfs: NfsOrigin,
  instance: Uint8Array,
  { takeOverLease, address }: Pick<StackDescription, 'takeOverLease' | 'address'>,
  { clock, log }: Pick<WriteBackTools, 'clock' | 'log'>,
): Promise<SessionLease> {
  const holder = leaseHolder(hostname(), address);
  const name = Buffer.from(instance).toString('latin1');
  return SessionLease.acquire({ origin: nfs, takeOver: takeOverLease, holder, instance: name, clock, log });
}

/** For people: which session of which host has the lease. */
export function leaseHolder(host: string, address: string | undefined): string {
  return address === undefined ? host : `${host} (${address})`;
}

export interface BuiltWriteBack {
  readonly layer: WriteBack;
  readonly session: SessionWriteBack;
}

export interface WriteBackWish {
  readonly next: Filesystem;
  /** Answers from the origin itself. */
  readonly fresh: OriginFacts['fresh'];
  /** How often the origin has been seen to have restarted. */
  readonly restarts: () => number;
  readonly policy: LoggedPolicy;
  readonly commit: CommitPlace;
  /** Names that are known from an earlier life. */
  readonly names?: Iterable<readonly [Place, FileHandle]> | undefined;
  /** Since when the origin has been away (milliseconds since 1970); undefined while it answers. */
  readonly awaySinceMs: () => number | undefined;
  /** Where clients find the session. */
  readonly address: string | undefined;
}

export function buildWriteBack(
  { next, fresh, restarts, policy, commit, names, awaySinceMs, address }: WriteBackWish,
  { rule, log, nfs, lease }: WriteBackGround,
  tools: WriteBackTools,
): BuiltWriteBack {
  const { clock, log: logger, random } = tools;
  const { directory, writeBackAfterMs, rateBytesPerSecond, windowBytes, ageMs } = rule;
  let files: DirtyFiles | undefined;
  let drain: DrainFace | undefined;
  /** A redirected session is a writer only while it commits. */
  let passing: SessionLease | undefined;
  const layer = new WriteBack(next, {
    log,
    clock,
    logger,
    origin: {
      fresh,
      chunks: nfs?.data,
      mayKeep: () => nfs?.chain.mayKeep() === true,
      conditionalWrites: () => nfs !== undefined && mayCondition(nfs),
      ...(nfs === undefined ? { restarts } : watchConnection(nfs, clock)),
      lease: () => (lease ?? passing)?.state() ?? { state: 'none' },
    },
    options: { commit, mode: policy, dirtyAgeMs: ageMs },
    names,
    createDrain: (context) => {
      const options = {
        ...{ writeBackAfterMs, rateBytesPerSecond, windowBytes, isManual: policy === 'redirect', hostName: hostname() },
        conflictDirectory: join(directory, 'conflicts'),
      };
      files = context.files;
      drain = new Drain(context, { clock, logger, random, options });
      return drain;
    },
  });
  if (files === undefined || drain === undefined) throw new Error('a write-back layer made no drain');
  const awake = drain;
  nfs?.channel.onLeaseLost(() => awake.wake());
  const leased = async <Result>(takeOverLease: boolean, action: () => Promise<Result>): Promise<Result> => {
    if (nfs === undefined || lease !== undefined) return action();
    const instance = noteInstance(log, newInstance(random));
    const taken = await acquireLease(nfs, instance, { takeOverLease, address }, tools);
    passing = taken;
    try {
      return await action();
    } finally {
      await taken.release();
      passing = undefined;
    }
  };
  const checkLease = async (): Promise<void> => (lease ?? passing)?.check();
  const paths = new Paths(next, ownCredential(), clock);
  const parts = { policy, directory, layer, files, drain, paths, clock, logger, leased, awaySinceMs, checkLease };
  const session = new SessionWriteBack(parts);
  return { layer, session };
}

/** Only a token tells the server which changes are one writer's: without a lease, a pipelined WRITE would be refused for the one before. */
function mayCondition({ channel }: NfsOrigin): boolean {
  return channel.conditionalWrites() && channel.lease().state === 'held';
}

/** Of the connection: how often calls may have been carried out twice, and when answers were lost last. */
function watchConnection(nfs: NfsOrigin, clock: Clock): Pick<Required<OriginFacts>, 'restarts' | 'lostMs'> {
  let lostMs: number | undefined;
  nfs.listen({
    onLost: () => {
      lostMs = clock.now();
    },
  });
  const restarts = (): number => {
    const { reconnects, retransmissions } = nfs.stats();
    return reconnects + retransmissions;
  };
  return { restarts, lostMs: () => lostMs };
}
