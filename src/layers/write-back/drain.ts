/**
 * Carries sealed epochs to the origin, oldest first, by itself: after a delay, when asked, or when the log fills up.
 *
 *     idle ──change──> waiting ──old enough, asked, pressure──> writing ──drained──> waiting or idle
 *                         ^                                      │  ^ │
 *                         └──────── refused: backoff ────────────┘  │ └─ no answer: the calls stay under way below (origin-away)
 *                                                     lease back ───┴── lease lost: everything is kept
 *
 * Invariants: one epoch at a time; nothing of an epoch leaves before the epoch below it is durably noted as drained; nothing is ever
 * given up but by its owner (a dropped file) or as a saved conflict; one fdatasync an epoch: the sync of the next
 * epoch's intents makes `drained` durable, too; a request is answered only when it is: else a power loss would send the epoch again,
 * over what was changed at the origin because of the answer.
 */
import { type Clock, type Log, limits, type Random, systemCode, type Timer, ViaductError } from '../../base/mod.ts';
import type { EpochInfo, EpochNumber } from '../../dirty/mod.ts';
import { OriginClock } from './conflict-clock.ts';
import { type ConflictDirectory, LocalConflictDirectory } from './conflict-directory.ts';
import { ConflictSaver } from './conflict-saver.ts';
import type { DrainContext, DrainFace, DrainOptions, DrainResult, DrainStatus } from './contract.ts';
import { type EpochEnd, EpochRun } from './drain-epoch.ts';
import { DrainGate } from './drain-gate.ts';
import { KnownPolicy } from './drain-known-policy.ts';
import { Leftovers } from './drain-leftovers.ts';
import { DrainMeter } from './drain-meter.ts';
import { OriginCalls, plainCall } from './drain-origin.ts';
import type { DrainParts } from './drain-parts.ts';
import { RecentAnswers } from './drain-recent.ts';
import { DrainRequests } from './drain-requests.ts';
import { EpochAges } from './epoch-ages.ts';

export interface DrainTools {
  readonly clock: Clock;
  readonly logger: Log;
  readonly random: Random;
  readonly options: DrainOptions;
  /** Instead of `options.conflictDirectory`: simulations bring their own. */
  readonly conflicts?: ConflictDirectory | undefined;
}

const firstBackoffMs = 1_000;
const longestBackoffMs = 60_000;
/** How often a lease that is not held is looked at. */
const leaseMs = 1_000;
/** Without any answer for so long, the origin counts as away. */
const awayMs = 5_000;
/** The log is drained early above the first, until it is below the second (parts of its limit). */
const hurryAbove = 0.8;
const hurryBelow = 0.5;
/** `close` waits so long for answers. */
const closeMs = 2_000;

export class Drain implements DrainFace {
  readonly #parts: DrainParts;
  readonly #random: Random;
  readonly #saver: ConflictSaver;
  readonly #ages: EpochAges;
  readonly #requests: DrainRequests;
  readonly #leftovers: Leftovers;
  #run: EpochRun | undefined;
  #runStart = 0;
  #working: Promise<void> | undefined;
  #isWakeScheduled = false;
  #timer: Timer | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #state: 'normal' | 'refused' | 'damaged' = 'normal';
  #problems: readonly string[] = [];
  #backoffMs = firstBackoffMs;
  #retryAtMs = 0;
  #isHurrying = false;
  /** Counts what the origin got and the log must not forget, and how much of that is durable. */
  #settled = 0;
  #noted = 0;
  #knowsOrigin = false;
  #closed = false;

  constructor(context: DrainContext, { clock, logger, random, options, conflicts }: DrainTools) {
    this.#random = random;
    this.#ages = new EpochAges(context.log, clock);
    this.#requests = new DrainRequests(context.files);
    this.#parts = {
      context,
      clock,
      logger,
      options,
      gate: new DrainGate(clock, options.rateBytesPerSecond, options.windowBytes),
      meter: new DrainMeter(),
      origin: new OriginCalls(clock),
      originClock: new OriginClock(clock),
      recent: new RecentAnswers(clock),
      known: context.origin.chunks && new KnownPolicy(context.origin.chunks),
      writeMaximum: limits.transferBytes,
      isStopped: () => this.#closed || context.origin.lease().state === 'lost',
      sync: () => this.#sync(),
      onConflict: (file) => this.#requests.onConflict(file),
    };
    const { conflictDirectory } = options;
    const local = conflictDirectory === undefined ? undefined : new LocalConflictDirectory(conflictDirectory);
    this.#saver = new ConflictSaver(this.#parts, conflicts ?? local);
    for (const record of context.files.all()) {
      if (record.conflict !== undefined) this.#requests.onConflict(record.number);
    }
    this.#leftovers = new Leftovers(this.#parts);
    this.wake();
  }

  wake(): void {
    if (this.#isWakeScheduled || this.#closed) return;
    this.#isWakeScheduled = true;
    // `wake` is called from within calls of the log.
    queueMicrotask(() => {
      this.#isWakeScheduled = false;
      this.#look();
    });
  }

  request(upTo?: EpochNumber): Promise<DrainResult> {
    if (this.#closed) return Promise.resolve({ outcome: 'closed', problems: [] });
    const { log } = this.#parts.context;
    const epochs = log.epochs();
    const newest = epochs.at(-1);
    if (upTo !== undefined && newest !== undefined && newest.sealedMs === undefined && newest.number <= upTo)
      log.seal();
    const sealed = upTo ?? epochs.findLast((epoch) => epoch.sealedMs !== undefined)?.number ?? 0;
    this.#leftovers.again();
    const answer = this.#requests.add(sealed);
    this.#retryAtMs = 0;
    this.wake();
    return answer;
  }

  noted(): Promise<void> | undefined {
    return this.#noted === this.#settled ? undefined : this.#sync();
  }

  async #sync(): Promise<void> {
    const settled = this.#settled;
    await this.#parts.context.log.sync();
    this.#noted = Math.max(this.#noted, settled);
  }

  status(): DrainStatus {
    const { context, clock, meter } = this.#parts;
    const epochs = context.log.epochs();
    let pendingBytes = 0;
    for (const { number, payloadBytes } of epochs) {
      const plan = this.#run?.plan;
      pendingBytes += number === plan?.epoch ? Math.max(0, plan.bytes - this.#movedOfRun()) : payloadBytes;
    }
    const state = this.#stateNow(epochs);
    const moves = state === 'writing' || state === 'waiting';
    const rate = moves ? meter.rate(clock.now()) : 0;
    const left = rate > 0 ? pendingBytes / rate : undefined;
    return {
      state,
      pendingBytes,
      epochsPending: epochs.length,
      movedBytes: meter.movedBytes,
      knownBytes: this.#parts.known?.knownBytes ?? 0,
      bytesPerSecond: rate,
      secondsLeft: epochs.length === 0 && this.#leftovers.problems.length === 0 ? 0 : left,
      problem: this.#problemNow(state),
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#parts.gate.close();
    this.#requests.close();
    if (this.#working !== undefined) {
      let timer: Timer | undefined;
      const timeout = new Promise<void>((resolve) => {
        timer = this.#parts.clock.after(closeMs, resolve);
      });
      await Promise.race([this.#working, timeout]);
      timer?.cancel();
    }
    this.#run?.close();
  }

  #movedOfRun(): number {
    return this.#parts.meter.movedBytes - this.#runStart;
  }

  #stateNow(epochs: readonly EpochInfo[]): DrainStatus['state'] {
    const { context, origin } = this.#parts;
    if (context.origin.lease().state === 'lost') return 'lease-lost';
    if (this.#working !== undefined) return origin.silentMs() > awayMs ? 'origin-away' : 'writing';
    if (this.#state !== 'normal') return this.#state;
    if (epochs.length === 0 && this.#leftovers.problems.length > 0) return 'refused';
    return epochs.length === 0 ? 'idle' : 'waiting';
  }

  #problemNow(state: DrainStatus['state']): string | undefined {
    const lease = this.#parts.context.origin.lease();
    if (lease.state === 'lost') return `the write lease was taken over by ${lease.holder}; everything is kept here`;
    if (state === 'origin-away')
      return `the origin has not answered for ${Math.round(this.#parts.origin.silentMs() / 1000)} s`;
    const problems = [...this.#problems, ...this.#leftovers.problems];
    return problems.length === 0 ? undefined : problems.join('; ');
  }

  /** Is there something to do now? When next? */
  #look(): void {
    if (this.#closed || this.#working !== undefined) return;
    const { clock, logger } = this.#parts;
    const waitMs = this.#waitMs();
    if (waitMs > 0) {
      this.#setTimer(waitMs);
      return;
    }
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    this.#parts.meter.start(clock.now());
    this.#working = this.#work().then(
      () => this.#rested(),
      (error: unknown) => {
        if (!this.#closed) logger.error({ error: String(error) }, 'writing back failed; it is tried again');
        this.#refused('refused', [String(error)]);
        this.#rested();
      },
    );
  }

  #rested(): void {
    this.#working = undefined;
    this.#parts.meter.stop();
    this.#look();
  }

  /** Milliseconds until there is something to do; infinite if only somebody else can tell. */
  #waitMs(): number {
    const { context, clock } = this.#parts;
    const [oldest] = context.log.epochs();
    if (this.#run !== undefined && this.#run.plan.epoch !== oldest?.number) this.#discarded();
    this.#answerDone(oldest);
    const lease = context.origin.lease().state;
    if (lease === 'lost') this.#requests.answerAll('lease-lost', [this.#problemNow('lease-lost') ?? '']);
    if (lease === 'lost' || lease === 'acquiring') return oldest === undefined ? Number.POSITIVE_INFINITY : leaseMs;
    const backoffMs = this.#retryAtMs - clock.now();
    if (backoffMs > 0) return backoffMs;
    if (this.#noted < this.#settled) return 0;
    const settleMs = this.#maySettle ? this.#leftovers.waitMs : Number.POSITIVE_INFINITY;
    return Math.min(settleMs, this.#epochWaitMs(oldest));
  }

  /** What is left of clean files is a change at the origin, too. */
  get #maySettle(): boolean {
    return !this.#parts.options.isManual || !this.#requests.isEmpty;
  }

  /** The epoch under way is gone from the log: nothing of it may be noted as written back. */
  #discarded(): void {
    this.#run?.close();
    this.#run = undefined;
    this.#state = 'normal';
    this.#problems = [];
    this.#backoffMs = firstBackoffMs;
    this.#retryAtMs = 0;
    if (this.#parts.options.isManual)
      this.#requests.answerAll('refused', ['it was discarded before it was written back']);
  }

  #epochWaitMs(oldest: EpochInfo | undefined): number {
    const { options } = this.#parts;
    if (oldest === undefined) return Number.POSITIVE_INFINITY;
    // What was begun is brought to its end.
    if (this.#run !== undefined || !this.#requests.isEmpty || this.#mustHurry()) return 0;
    if (options.isManual) return Number.POSITIVE_INFINITY;
    return options.writeBackAfterMs - this.#ages.ageMs(oldest);
  }

  #mustHurry(): boolean {
    if (this.#parts.options.isManual) return false;
    const { logBytes, limitBytes, waitingWriters } = this.#parts.context.log.stats();
    const above = this.#isHurrying ? hurryBelow : hurryAbove;
    this.#isHurrying = waitingWriters > 0 || logBytes > above * limitBytes;
    return this.#isHurrying;
  }

  #setTimer(waitMs: number): void {
    if (waitMs === Number.POSITIVE_INFINITY) return;
    // Whole milliseconds: a rest that rounding leaves would be waited for in no time, again and again.
    const delayMs = Math.ceil(waitMs);
    const dueMs = this.#parts.clock.now() + delayMs;
    if (this.#timer !== undefined && dueMs >= this.#timerDueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      this.#look();
    });
  }

  async #work(): Promise<void> {
    const { context } = this.#parts;
    const { log } = context;
    await this.#begin();
    for (;;) {
      const [oldest] = log.epochs();
      if (oldest === undefined || !this.#mayWrite() || this.#epochWaitMs(oldest) > 0) break;
      if (oldest.sealedMs === undefined) log.seal();
      const ended = await this.#drainEpoch(oldest.number);
      if (ended.end === 'stopped') return;
      if (ended.end === 'refused' || ended.end === 'damaged') {
        this.#refused(ended.end, ended.problems);
        return;
      }
      this.#problems = [];
      this.#state = 'normal';
      this.#backoffMs = firstBackoffMs;
    }
    if (!this.#closed) await this.noted();
  }

  #mayWrite(): boolean {
    return !this.#parts.isStopped() && this.#parts.context.origin.lease().state !== 'acquiring';
  }

  async #drainEpoch(number: EpochNumber): Promise<EpochEnd> {
    const { context, meter } = this.#parts;
    if (this.#run === undefined) {
      try {
        const plan = await context.log.plan(number);
        this.#runStart = meter.movedBytes;
        this.#run = new EpochRun(this.#parts, this.#saver, plan);
      } catch (error) {
        if (context.log.epochs()[0]?.number !== number) return { end: 'done' };
        if (!(error instanceof ViaductError) && systemCode(error) === undefined) throw error;
        return { end: 'damaged', problems: [(error as Error).message] };
      }
    }
    const run = this.#run;
    const ended = await run.run();
    if (this.#closed) return { end: 'stopped' };
    if (context.log.epochs()[0]?.number !== number) {
      this.#discarded();
      return { end: 'done' };
    }
    if (ended.end !== 'done') return ended;
    context.log.drained(number);
    this.#settled++;
    this.#run = undefined;
    run.close();
    await this.#sendLateTimes(run);
    this.#answerDone(context.log.epochs()[0]);
    return ended;
  }

  /** Times that a client set while the file's last epoch was on its way. */
  async #sendLateTimes({ plan }: EpochRun): Promise<void> {
    const { files } = this.#parts.context;
    await this.#leftovers.settleLate(plan.files.flatMap(({ file }) => files.byNumber(file) ?? []));
  }

  /** Once: what the origin takes in a WRITE, and what the process before left unsettled. */
  async #begin(): Promise<void> {
    const { context, origin } = this.#parts;
    if (!this.#knowsOrigin) {
      const info = await origin.ask(() => context.next.fsinfo(plainCall, { object: context.next.root }));
      if (info.status === 0 && info.writeMaximum > 0) {
        this.#parts.writeMaximum = Math.min(info.writeMaximum, limits.transferBytes);
      }
      this.#knowsOrigin = true;
    }
    if (!this.#maySettle || !this.#leftovers.isDue) return;
    await this.#leftovers.settle();
    this.#settled++;
  }

  #refused(state: 'refused' | 'damaged', problems: readonly string[]): void {
    if (this.#closed) return;
    const { clock, logger } = this.#parts;
    this.#state = state;
    this.#problems = problems;
    const jitter = 0.9 + (0.2 * this.#random.uint32()) / 2 ** 32;
    this.#retryAtMs = clock.now() + this.#backoffMs * jitter;
    const retryMs = Math.round(this.#backoffMs * jitter);
    logger.warn(
      { code: 'WRITE_BACK_REFUSED', problems: problems.slice(0, 5), retryMs },
      'not written back; it is kept',
    );
    this.#backoffMs = Math.min(2 * this.#backoffMs, longestBackoffMs);
    this.#requests.answerAll('refused', problems);
  }

  #answerDone(oldest: EpochInfo | undefined): void {
    if (this.#requests.isEmpty || this.#leftovers.waitMs === 0) return;
    const { problems } = this.#leftovers;
    this.#requests.answerDone(oldest?.number ?? Number.POSITIVE_INFINITY, problems, () => this.noted());
  }
}
