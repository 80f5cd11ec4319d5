/**
 * One epoch on its way to the origin.
 *
 *     look at every file ──> intents noted, one sync ──> all files, side by side ──> conflicts saved ──> ended
 *       (fresh attributes)        (the sync makes the epoch before durable as drained, too)
 *
 * Invariants: nothing leaves before the intents are durable; a sign of life is noted about once a second while something is under
 * way, and while the origin is silent, ahead of time; `run` after a refusal goes on with the files that are not finished; the epoch is done only when each file is done,
 * dropped, or its version saved beside the origin's.
 */
import { inParallel, limits, type Timer } from '../../base/mod.ts';
import type { EpochPlan } from '../../dirty/mod.ts';
import type * as vfs from '../../vfs/mod.ts';
import { isGone, isOurs } from './conflict.ts';
import type { ConflictSaver } from './conflict-saver.ts';
import type { FileRecord } from './contract.ts';
import { type FileEnd, FileRun } from './drain-file.ts';
import { plainCall } from './drain-origin.ts';
import { type DrainParts, nameOf, refusalOf } from './drain-parts.ts';
import { sameData, wccOf } from './times.ts';

export type EpochEnd =
  | { readonly end: 'done' | 'stopped' }
  | { readonly end: 'refused' | 'damaged'; readonly problems: readonly string[] };

const aliveMs = 1_000;
/**
 * Without answers, calls under way may be carried out at any later moment, when the link is back: the intents say so ahead of
 * time. A longer promise would take more of what others do after a crash for our own.
 */
const promiseMs = 10_000;
/** A file that vanishes may be one that a client of ours removes: its REMOVE is answered a little later than our call. */
const removalMs = 2_000;

export class EpochRun {
  readonly plan: EpochPlan;
  readonly #parts: DrainParts;
  readonly #saver: ConflictSaver;
  readonly #files: FileRun[];
  readonly #underWay = new Set<FileRun>();
  #problems: string[] = [];
  #isDamaged = false;
  #alive: Timer | undefined;
  #clockKnown: boolean;
  /** Until when the noted intents hold, while the origin is silent (local time). */
  #promisedMs = 0;

  constructor(parts: DrainParts, saver: ConflictSaver, plan: EpochPlan) {
    this.plan = plan;
    this.#parts = parts;
    this.#saver = saver;
    this.#files = plan.files.map((file) => new FileRun(parts, plan, file));
    this.#clockKnown = parts.originClock.isKnown;
  }

  async run(): Promise<EpochEnd> {
    this.#problems = [];
    this.#isDamaged = false;
    const left = this.#files.filter((file) => !file.isFinished);
    const ready: FileRun[] = [];
    await inParallel(left, limits.writeBackFiles, async (file) => {
      if (await this.#look(file)) ready.push(file);
    });
    if (this.#parts.isStopped()) return { end: 'stopped' };
    // While others were looked at, a file may have been removed.
    const there = ready.filter((file) => !this.#isGone(file));
    if (there.length > 0) {
      for (const file of there) this.#noteIntent(file);
      try {
        await this.#parts.sync();
      } catch (error) {
        return { end: 'refused', problems: [`the dirty log does not sync: ${String(error)}`] };
      }
      await this.#write(there);
    }
    if (this.#parts.isStopped()) return { end: 'stopped' };
    if (this.#problems.length > 0) return { end: this.#isDamaged ? 'damaged' : 'refused', problems: this.#problems };
    return { end: 'done' };
  }

  /** The session ends. */
  close(): void {
    this.#alive?.cancel();
    // What is under way may arrive after us.
    if (this.#underWay.size > 0) this.#noteIntents(promiseMs);
    this.plan.release();
  }

  async #write(files: readonly FileRun[]): Promise<void> {
    this.#tick();
    try {
      await inParallel(files, limits.writeBackFiles, async (file) => {
        this.#underWay.add(file);
        try {
          await this.#finish(file, await file.run());
        } finally {
          this.#underWay.delete(file);
        }
      });
    } finally {
      this.#alive?.cancel();
      this.#alive = undefined;
    }
  }

  async #finish(file: FileRun, ended: FileEnd): Promise<void> {
    switch (ended.end) {
      case 'done':
        if (file.wasInterleaved) this.#reportInterleaved(file);
        return;
      case 'dropped':
        file.isFinished = true;
        return;
      case 'stopped':
        return;
      case 'damaged':
        this.#isDamaged = true;
        this.#problems.push(ended.problem);
        return;
      case 'refused':
        this.#problems.push(ended.problem);
        return;
      case 'conflict':
        await this.#conflict(file, ended.kind, ended.found);
    }
  }

  /** Whether the file is to be written now. */
  async #look(file: FileRun): Promise<boolean> {
    const { context, origin } = this.#parts;
    const { record } = file;
    if (this.#isGone(file) || record === undefined) return false;
    // A conflict that a crash or a refusal kept from being saved.
    if (record.conflict !== undefined && record.conflict.kind !== 'interleaved') {
      await this.#save(file, () => this.#saver.resume(record, file.plan.writer));
      return false;
    }
    const found =
      this.#recent(file) ??
      (await origin.ask(() => context.origin.fresh.getattr(plainCall, { object: record.handle })));
    if (found.status !== 0) {
      if (isGone(found.status)) await this.#conflict(file, 'gone', undefined);
      else this.#problems.push(refusalOf(record, 'GETATTR', found.status));
      return false;
    }
    const { attributes } = found;
    const known = file.known;
    const base = record.base ?? wccOf(attributes);
    const sizes = record.intent?.epoch === this.plan.epoch ? file.sizes(base) : undefined;
    if (!isOurs(record, attributes, known, sizes)) {
      await this.#conflict(file, 'changed', attributes);
      return false;
    }
    context.looked?.(record.handle, attributes);
    file.begin(attributes);
    return true;
  }

  /** Nothing of it is to be written any more. */
  #isGone(file: FileRun): boolean {
    if (file.record !== undefined && !file.isDropped()) return false;
    file.isFinished = true;
    return true;
  }

  #recent({ plan: file, record }: FileRun): vfs.GetattrReply | undefined {
    const attributes = this.#parts.recent.of(file.file);
    // A change that the front passed on since is not in it.
    if (attributes === undefined || record?.base === undefined || !sameData(attributes, record.base)) return undefined;
    return { status: 0, attributes };
  }

  #noteIntent(file: FileRun): void {
    const { context, clock, originClock } = this.#parts;
    const record = file.record!;
    const found = file.known!;
    const sinceMs = clock.wallTimeMs();
    const intent = { epoch: this.plan.epoch, base: found, sinceMs, aliveMs: originClock.now() };
    context.files.update(record.handle, { intent, base: record.base ?? found });
  }

  /** A sign of life, now and about once a second. */
  #tick(): void {
    const { clock, origin } = this.#parts;
    // Until the origin's clock is known, the intents say only what ours said.
    const isUrgent = !this.#clockKnown && origin.silentMs() < aliveMs;
    this.#alive = clock.after(isUrgent ? aliveMs / 10 : aliveMs, () => {
      this.#noteAlive();
      this.#tick();
    });
  }

  #noteAlive(): void {
    const { context, clock, origin, originClock, logger } = this.#parts;
    if (this.#underWay.size === 0) return;
    const isSilent = origin.silentMs() > aliveMs / 2;
    // The log is not to be filled through a long outage.
    if (isSilent && clock.now() + promiseMs / 2 < this.#promisedMs) return;
    this.#promisedMs = isSilent ? clock.now() + promiseMs : 0;
    this.#clockKnown = originClock.isKnown;
    if (this.#noteIntents(isSilent ? promiseMs : 0))
      context.log.sync().catch((error: unknown) => {
        // A power loss would take it: soon once more.
        this.#promisedMs = 0;
        logger.warn({ error: String(error) }, 'a note was not synced');
      });
  }

  #noteIntents(aheadMs: number): boolean {
    const { context, originClock } = this.#parts;
    const now = originClock.now() + aheadMs;
    let noted = false;
    for (const file of this.#underWay) {
      const record = file.record;
      if (record?.intent === undefined || file.isDropped()) continue;
      context.files.update(record.handle, { intent: { ...record.intent, aliveMs: now } });
      noted = true;
    }
    return noted;
  }

  async #conflict(file: FileRun, kind: 'changed' | 'gone', found: vfs.Attributes | undefined): Promise<void> {
    const { clock, context } = this.#parts;
    if (kind === 'gone' && file.record?.isLeaving) {
      // A client of ours removed it; maybe in a life before this one.
      context.log.drop(file.record.number);
      context.files.forget(file.record.handle);
      file.isFinished = true;
      return;
    }
    if (kind === 'gone') {
      await new Promise<void>((resolve) => clock.after(removalMs, resolve));
      if (this.#parts.isStopped()) return;
    }
    const { record } = file;
    if (this.#isGone(file) || record === undefined) return;
    await this.#save(file, () => this.#saver.save(record, kind, found, file.plan.writer));
  }

  async #save(file: FileRun, action: () => Promise<string | undefined>): Promise<void> {
    const problem = await action();
    if (problem === undefined) file.isFinished = true;
    else this.#problems.push(problem);
  }

  #reportInterleaved(file: FileRun): void {
    const { context, clock, logger } = this.#parts;
    const record: FileRecord | undefined = file.record;
    if (record === undefined || record.conflict !== undefined) return;
    const atMs = clock.wallTimeMs();
    const found = record.base;
    const conflict = { atMs, kind: 'interleaved', expected: undefined, found, savedAs: undefined } as const;
    context.files.update(record.handle, { conflict });
    this.#parts.onConflict(record.number);
    logger.error({ file: nameOf(record), code: 'CONFLICT' }, 'somebody else wrote to a file while it was written back');
  }
}
