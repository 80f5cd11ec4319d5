/**
 * A session in a row of Viaducts: what it says of itself to the one before it, and what it knows of those behind it.
 *
 *     PENDING      this hop, then what the next one says of itself and those behind it       (vfs/chain.ts, docs/channel.md)
 *     WRITE_BACK   this session's log to the next one, then the next one's to the one behind it, until the origin has it
 *
 * Invariant: `isAtOrigin` is not said while one of them may keep something.
 */
import { type Clock, sleep } from '../base/mod.ts';
import type { NfsOrigin } from '../origins/mod.ts';
import type { Call, ChainLink, ChainReply, Credential, FileHandle, Hop, WriteBackOutcome } from '../vfs/mod.ts';
import type { TaskProgress, TaskResult } from './tasks.ts';
import type { SessionWriteBack } from './write-back.ts';
import type { WritePolicy } from './write-policy.ts';

/** What is behind a session. */
export interface ChainStatus {
  /** Nothing that this session brought on is missing at the origin. */
  readonly isAtOrigin: boolean;
  /** The nearest first; when it does not answer, as it said last. */
  readonly hops: readonly Hop[];
  /** As in `ChainReply`. */
  readonly end: 'origin' | 'silent' | 'cut';
  /** When `hops` was said (milliseconds since 1970), if it was not said just now. */
  readonly saidMs?: number | undefined;
}

export interface SessionChainOptions {
  readonly policy: WritePolicy;
  readonly writeBack: SessionWriteBack | undefined;
  readonly nfs: Pick<NfsOrigin, 'chain'> | undefined;
  /** Whoever asks in the session's own name. */
  readonly credential: Credential;
  readonly hostName: string;
  readonly clock: Clock;
}

type Told = Extract<ChainReply, { status: 0 }>;

/** As long as a status waits for those behind the session; each of them waits for less. */
const patienceMs = 800;
const mostPatienceMs = 10_000;
const shareOfPatience = 0.75;
const leastPatienceMs = 20;
const mostHops = 16;
const progressMs = 500;
const atOrigin: Told = { status: 0, hops: [], end: 'origin' };

export class SessionChain implements ChainLink {
  readonly #options: SessionChainOptions;
  readonly #self: Call;
  #asking: Promise<Told | undefined> | undefined;
  #last: { readonly told: Told; readonly atMs: number } | undefined;

  constructor(options: SessionChainOptions) {
    this.#options = options;
    this.#self = { credential: options.credential, peer: 'self', priority: 'demand' };
  }

  /** Whether what is answered here may not be at the origin: others are told so (the feature `chain`). */
  get mayKeep(): boolean {
    return this.#options.writeBack !== undefined || this.#options.nfs !== undefined;
  }

  async pending(_call: Call, args: { readonly patienceMs: number }): Promise<ChainReply> {
    const behind = await this.#behind(Math.min(args.patienceMs, mostPatienceMs));
    const hops = [this.#hop(), ...(behind?.hops ?? [])];
    if (hops.length > mostHops) return { status: 0, hops: hops.slice(0, mostHops), end: 'cut' };
    return { status: 0, hops, end: behind?.end ?? 'silent' };
  }

  async writeBack(): Promise<WriteBackOutcome> {
    const { writeBack, nfs, policy } = this.#options;
    // What it keeps is not for the origin.
    if (policy === 'redirect') return { status: 0, outcome: 'refused' };
    if (writeBack !== undefined) {
      const { outcome } = await writeBack.writeBack(undefined, () => {});
      if (outcome !== 'done') return { status: 0, outcome: outcome === 'incomplete' ? 'refused' : outcome };
    }
    return nfs?.chain.mayKeep() === true ? nfs.chain.writeBack(this.#self) : { status: 0, outcome: 'done' };
  }

  /** Undefined: the next one is the origin, or says nothing of the kind. */
  async status(): Promise<ChainStatus | undefined> {
    if (this.#options.nfs?.chain.mayKeep() !== true) return undefined;
    const told = await this.#behind(patienceMs);
    if (told !== undefined) {
      const isAtOrigin = told.end === 'origin' && told.hops.every((hop) => hop.isAtNext);
      return { isAtOrigin, hops: told.hops, end: told.end };
    }
    const last = this.#last?.told;
    // Those who keep nothing have passed on what they answered.
    const isAtOrigin = last?.end === 'origin' && last.hops.every(passesOn);
    return { isAtOrigin, hops: last?.hops ?? [], end: 'silent', saidMs: this.#last?.atMs };
  }

  /** What this session has brought to the next one goes on to the origin: all of it, or what is in `file`. */
  async bringOn(file: FileHandle | undefined, onProgress: (progress: TaskProgress) => void): Promise<TaskResult> {
    const { nfs, clock } = this.#options;
    if (nfs?.chain.mayKeep() !== true) return { outcome: 'done', problems: [] };
    const { chain } = nfs;
    const done =
      file === undefined
        ? chain.writeBack(this.#self)
        : chain.commit({ ...this.#self, reach: 'origin' }, { object: file, offset: 0, count: 0 }).then(outcomeOf);
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    done.then(over, over);
    let totalBytes = 0;
    await Promise.race([done, sleep(clock, progressMs)]);
    while (!isOver) {
      const status = await this.status();
      if (isOver) break;
      const progress = progressOf(status);
      totalBytes = Math.max(totalBytes, progress.pendingBytes);
      onProgress({ ...progress, totalBytes });
      await Promise.race([done, sleep(clock, progressMs)]);
    }
    return this.#judge(await done);
  }

  async #judge(reply: WriteBackOutcome): Promise<TaskResult> {
    if (reply.status === 0 && reply.outcome === 'done') return { outcome: 'done', problems: [] };
    const hops = (await this.status())?.hops ?? [];
    const isConflict = reply.status === 0 && reply.outcome === 'conflict';
    // Whoever only waits for the one that has the conflict knows nothing of it.
    const inConflict = isConflict ? hops.find((hop) => hop.conflicts > 0) : undefined;
    const keeper = inConflict ?? hops.find((hop) => !hop.isAtNext);
    const where = keeper === undefined ? 'between this host and the origin' : `at ${keeper.host}`;
    const what = keeper?.policy === 'redirect' ? 'kept for itself (redirect)' : 'kept, and the origin does not have it';
    const asked = isConflict ? 'conflicts' : 'status';
    const problem = `what this host has brought on is ${where}, ${what}; \`viaduct ${asked}\` there says why`;
    return { outcome: reply.status === 0 ? reply.outcome : 'refused', problems: [problem] };
  }

  /** Undefined: no answer in time. One question at a time: a line that is cut would collect them. */
  async #behind(mostMs: number): Promise<Told | undefined> {
    const { nfs, clock } = this.#options;
    if (nfs?.chain.mayKeep() !== true) return atOrigin;
    if (mostMs < leastPatienceMs) return undefined;
    this.#asking ??= this.#ask(nfs, Math.floor(mostMs * shareOfPatience)).finally(() => {
      this.#asking = undefined;
    });
    return Promise.race([this.#asking, sleep(clock, mostMs).then(() => undefined)]);
  }

  async #ask({ chain }: Pick<NfsOrigin, 'chain'>, mostMs: number): Promise<Told | undefined> {
    try {
      const reply = await chain.pending(this.#self, { patienceMs: mostMs });
      if (reply.status !== 0) return undefined;
      this.#last = { told: reply, atMs: this.#options.clock.wallTimeMs() };
      return reply;
    } catch {
      // The session ends, and nobody is there to be told.
      return undefined;
    }
  }

  #hop(): Hop {
    const { hostName: host, policy, writeBack } = this.#options;
    if (writeBack === undefined) return { ...passing, host, policy };
    const { isAtOrigin, pendingBytes, pendingFiles, oldestAgeMs, conflicts, drain } = writeBack.glance();
    const { state, secondsLeft } = drain;
    const amounts = { pendingBytes, pendingFiles, conflicts: conflicts.length, oldestAgeMs };
    return { host, policy, isAtNext: isAtOrigin, ...amounts, state, secondsLeft };
  }
}

const passing = {
  ...{ isAtNext: true, pendingBytes: 0, pendingFiles: 0, conflicts: 0 },
  ...{ oldestAgeMs: undefined, state: 'passing' as const, secondsLeft: undefined },
};

function passesOn({ policy }: Hop): boolean {
  return policy === 'write-through' || policy === 'read-only';
}

function outcomeOf({ status }: { readonly status: number }): WriteBackOutcome {
  return { status: 0, outcome: status === 0 ? 'done' : 'refused' };
}

function progressOf(status: ChainStatus | undefined): Omit<TaskProgress, 'totalBytes'> {
  const hops = status?.hops ?? [];
  const pendingBytes = hops.reduce((sum, hop) => sum + hop.pendingBytes, 0);
  const keeper = hops.find((hop) => !hop.isAtNext);
  const silent = status?.end === 'silent';
  const left = hops.map((hop) => hop.secondsLeft ?? 0);
  return {
    state: silent ? 'origin-away' : (keeper?.state ?? 'writing'),
    pendingBytes,
    bytesPerSecond: 0,
    secondsLeft: silent || keeper?.secondsLeft === undefined ? undefined : Math.max(...left),
    problem: silent
      ? 'the next Viaduct has all of it, and it or one behind it does not answer'
      : keeper && `the next Viaduct has all of it; ${keeper.host} brings it on`,
  };
}
