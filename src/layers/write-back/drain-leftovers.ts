/**
 * What clean files are still owed: an intent of a process before this one whose epoch is drained, or times that a client set and the origin
 * does not have yet.
 *
 * Nothing that was written waits for these files, so no content can be lost; what is to be decided is whether clients go on to be shown what
 * they were shown, and whether the origin shows it too.
 *
 *     owed ──looked at, sent──► settled
 *      ▲ └──no attributes, or the times refused for now (no room, a failing disk)──► told in the status ──backoff──┐
 *      └──────────────── at most `mostTries` times by itself; after that when asked, or when anything else is written ─┘
 *
 * Invariant: times are given up only when the origin refuses them for good, or somebody else changed the file.
 */
import { inParallel } from '../../base/mod.ts';
import type * as vfs from '../../vfs/mod.ts';
import { Status, statusName } from '../../vfs/mod.ts';
import { isGone, isOurs } from './conflict.ts';
import type { FileRecord } from './contract.ts';
import { Caller, plainCall } from './drain-origin.ts';
import { type DrainParts, nameOf, refusalOf } from './drain-parts.ts';
import { wccOf } from './times.ts';

const width = 16;
const firstBackoffMs = 1_000;
const longestBackoffMs = 60_000;
/** About five minutes. */
const mostTries = 10;

export class Leftovers {
  readonly #parts: DrainParts;
  #isOwed = false;
  #problems: readonly string[] = [];
  #tries = 0;
  /** 0: now. */
  #retryAtMs = 0;
  #triedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DrainParts) {
    this.#parts = parts;
    this.#isOwed = this.#owes(parts.context.files.all());
  }

  /** Why something is owed, one line a file; empty: nothing was refused. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Somebody asks. What was refused a moment ago is refused still. */
  again(): void {
    if (this.#parts.clock.now() - this.#triedAtMs >= firstBackoffMs) this.#retryAtMs = 0;
    // Times of clean files may have come to wait for it.
    if (this.#parts.options.isManual) this.#isOwed = true;
  }

  /** If anything is done at all, this may be. */
  get isDue(): boolean {
    return this.#isOwed && this.#retryAtMs <= this.#parts.clock.now();
  }

  /** Milliseconds until it should be tried by itself; infinite if it should not. */
  get waitMs(): number {
    if (!this.#isOwed || (this.#tries >= mostTries && this.#retryAtMs > 0)) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#retryAtMs - this.#parts.clock.now());
  }

  /** All that is owed. */
  async settle(): Promise<void> {
    const { files } = this.#parts.context;
    const problems = await this.#settleAll([...files.all()]);
    // What a client set meanwhile is owed as well; and what is stopped goes on when it may write again.
    this.#isOwed = this.#parts.isStopped() || this.#owes(files.all());
    if (problems.length === 0) {
      this.#problems = [];
      this.#tries = 0;
      return;
    }
    this.#tries++;
    this.#refused(problems);
  }

  /** Times that a client set, or the origin refused, while the last epoch of these files was on its way. */
  async settleLate(records: readonly FileRecord[]): Promise<void> {
    const problems = await this.#settleAll(records);
    if (problems.length === 0) {
      const { files } = this.#parts.context;
      if (this.#owes(records.map(({ handle }) => files.get(handle)))) this.#isOwed = true;
      return;
    }
    this.#tries = 1;
    this.#refused([...new Set([...this.#problems, ...problems])]);
  }

  #refused(problems: readonly string[]): void {
    const { clock, logger } = this.#parts;
    this.#isOwed = true;
    this.#problems = problems;
    const backoffMs = Math.min(firstBackoffMs * 2 ** (this.#tries - 1), longestBackoffMs);
    this.#triedAtMs = clock.now();
    this.#retryAtMs = this.#triedAtMs + backoffMs;
    const retryMs = this.#tries < mostTries ? backoffMs : undefined;
    logger.warn({ problems: problems.slice(0, 5), retryMs }, 'clean files are not settled at the origin yet');
  }

  #owes(records: Iterable<FileRecord | undefined>): boolean {
    for (const record of records) if (record !== undefined && this.#has(record)) return true;
    return false;
  }

  #has(record: FileRecord): boolean {
    const isOwed = record.intent !== undefined || record.times !== undefined;
    return isOwed && this.#parts.context.log.state(record.number) === undefined;
  }

  async #settleAll(records: readonly FileRecord[]): Promise<string[]> {
    const problems: string[] = [];
    const owed = records.filter((record) => this.#has(record));
    await inParallel(owed, width, async ({ handle }) => {
      const record = this.#parts.context.files.get(handle);
      if (record === undefined || this.#parts.isStopped() || !this.#has(record)) return;
      const problem = await this.#settle(record);
      if (problem !== undefined) problems.push(problem);
    });
    return problems;
  }

  /** Why it is still owed; undefined: it is not. */
  async #settle({ handle }: FileRecord): Promise<string | undefined> {
    const { context, origin, logger } = this.#parts;
    const { files } = context;
    const look = () => origin.ask(() => context.origin.fresh.getattr(plainCall, { object: handle }));
    let found = await look();
    let record = files.get(handle);
    if (record === undefined || !this.#has(record)) return undefined;
    if (found.status !== 0) return this.#notThere(record, found.status);
    if (!isOurs(record, found.attributes, undefined, undefined)) {
      // Changed by somebody else after all of ours was there: clients are shown that from now on.
      const shown = { base: wccOf(found.attributes), presented: undefined };
      files.update(handle, { ...shown, intent: undefined, times: undefined });
      return undefined;
    }
    const { times } = record;
    const refusal = times === undefined ? 0 : await this.#setTimes(record, found.attributes);
    if (times !== undefined && refusal === 0) found = await look();
    record = files.get(handle);
    if (record === undefined) return undefined;
    if (found.status !== 0) return this.#notThere(record, found.status);
    const isOwed = refusal !== 0 && isPassing(refusal);
    if (refusal !== 0 && !isOwed)
      logger.warn({ file: nameOf(record), status: statusName(refusal) }, 'times were not taken by the origin');
    const sent = record.times === times && !isOwed ? { times: undefined } : {};
    const { attributes } = found;
    files.update(handle, { base: wccOf(attributes), intent: undefined, ...sent });
    if (context.log.state(record.number) === undefined) context.settled(handle, attributes);
    return isOwed ? refusalOf(record, 'SETATTR (times)', refusal) : undefined;
  }

  #notThere(record: FileRecord, status: vfs.Failure): string | undefined {
    if (!isGone(status)) return refusalOf(record, 'GETATTR', status);
    this.#parts.context.files.forget(record.handle);
    return undefined;
  }

  /** What the origin says of it. */
  async #setTimes(record: FileRecord, attributes: vfs.Attributes): Promise<vfs.Failure | 0> {
    const { context, clock, originClock, origin } = this.#parts;
    const { handle: object, times } = record;
    const sinceMs = clock.wallTimeMs();
    const intent = { epoch: 0, base: wccOf(attributes), sinceMs, aliveMs: originClock.now() };
    context.files.update(object, { intent });
    await context.log.sync();
    const caller = new Caller(origin, attributes);
    const set = { atime: times?.atime, mtime: times?.mtime };
    const reply = await caller.ask(undefined, (call) => context.next.setattr(call, { object, set }));
    return reply.status;
  }
}

const passing: ReadonlySet<number> = new Set([
  ...[Status.IO, Status.NOSPC, Status.DQUOT, Status.SERVERFAULT, Status.JUKEBOX],
  // A chmod through us came in between.
  Status.NOT_SYNC,
]);

/** A refusal of times that may be over by itself. */
export function isPassing(status: number): boolean {
  return passing.has(status);
}
