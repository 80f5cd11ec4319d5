/**
 * Where one epoch ends and what has to wait for it: group commit, sealing, the ceiling of the age of dirty data.
 *
 *     COMMIT, FILE_SYNC   local: log.stabilize()      next, origin: seal, drain up to there
 *     name operation      seal
 *     oldest change of the open epoch `dirtyAgeMs` old: seal
 *     through to the origin    seal, drain up to there; what was drained durably noted, or a power loss would send it once more
 */
import type { Timer } from '../../base/mod.ts';
import type { FileHandle } from '../../vfs/mod.ts';
import type { DrainFace, DrainResult } from './contract.ts';
import { EpochAges } from './epoch-ages.ts';
import { type Workings, withheld } from './workings.ts';

/** Rounds of draining for one file before it is taken for stuck: other writers may make it dirty again meanwhile. */
const drainRounds = 8;

export class Barriers {
  readonly #workings: Workings;
  readonly #drain: DrainFace;
  readonly #gates = new Map<FileHandle, Promise<void>>();
  readonly #ages: EpochAges;
  #timer: Timer | undefined;

  constructor(workings: Workings, drain: DrainFace) {
    this.#workings = workings;
    this.#ages = new EpochAges(workings.log, workings.clock);
    this.#drain = drain;
    this.changed();
  }

  /** Changes answered before the call are where the policy, or the caller (`reach`), wants them; false: they cannot be. */
  async commit(reach?: 'origin'): Promise<boolean> {
    const { log, options, lifetime } = this.#workings;
    if (this.#needsOrigin(reach)) return this.everythingArrived();
    // What is never written back needs no order: one epoch for all, or they would pile up.
    if (options.mode === 'redirect') return this.settle();
    if (lifetime.isClosed) return withheld();
    const isStable = await this.#stable(() => log.stabilize());
    if (!lifetime.isClosed) this.#restart();
    return isStable;
  }

  /** The same for what must be stable without ending the epoch (SETATTR, RFC 1813 4.8). */
  async settle(): Promise<boolean> {
    const { log, lifetime } = this.#workings;
    if (this.#needsOrigin()) return this.everythingArrived();
    return lifetime.isClosed ? withheld() : this.#stable(() => log.sync());
  }

  #needsOrigin(reach?: 'origin'): boolean {
    const { commit, mode } = this.#workings.options;
    return mode === 'write-back' && (commit !== 'local' || reach === 'origin');
  }

  async #stable(sync: () => Promise<void>): Promise<boolean> {
    const { logger, lifetime } = this.#workings;
    try {
      await sync();
      return true;
    } catch (error) {
      if (lifetime.isClosed) return withheld();
      logger.error({ error }, 'the dirty log could not be made stable');
      return false;
    }
  }

  /** What follows depends on what was written so far. */
  seal(): void {
    const { options, log, lifetime } = this.#workings;
    if (options.mode === 'redirect' || lifetime.isClosed) return;
    if (log.seal() !== 0) this.#restart();
  }

  /** Everything written so far to the origin. */
  async drained(): Promise<DrainResult> {
    const { log, lifetime } = this.#workings;
    if (lifetime.isClosed) return withheld();
    const result = await this.#drain.request(log.seal());
    return result.outcome === 'closed' ? withheld() : result;
  }

  /** Whether everything written so far reached the origin, or was saved elsewhere because of a conflict. */
  async everythingArrived(): Promise<boolean> {
    const { log, lifetime } = this.#workings;
    if (lifetime.isClosed) return withheld();
    const upTo = log.seal();
    if (upTo !== 0) {
      const { outcome } = await this.#drain.request(upTo);
      if (outcome === 'closed') return withheld();
      if (log.epochs().some((epoch) => epoch.number <= upTo)) return false;
    }
    return (await this.noted()) ?? true;
  }

  /** Pending until what was written back is durably noted as such; undefined: it is; false: it cannot be. */
  noted(): Promise<boolean> | undefined {
    if (this.#workings.lifetime.isClosed) return withheld();
    const noted = this.#drain.noted();
    if (noted === undefined) return undefined;
    return this.#stable(() => noted).then((isStable) => (this.#workings.lifetime.isClosed ? withheld() : isStable));
  }

  /** What a clean file's COMMIT has to wait for: the origin has it. */
  committed(reach?: 'origin'): Promise<boolean> | undefined {
    return this.#needsOrigin(reach) ? this.noted() : undefined;
  }

  /** An epoch ended: the next one is as old as its own first change. */
  #restart(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.changed();
    this.#drain.wake();
  }

  /** A change was appended. The drain is told of the first one of an epoch: its delay begins. */
  changed(): void {
    const { clock, log, options, lifetime } = this.#workings;
    if (this.#timer !== undefined || lifetime.isClosed || options.mode === 'redirect') return;
    const open = log.epochs().at(-1);
    if (open === undefined || open.sealedMs !== undefined) return;
    const leftMs = options.dirtyAgeMs - this.#ages.ageMs(open);
    this.#timer = clock.after(Math.max(0, leftMs), () => this.#aged());
    this.#drain.wake();
  }

  #aged(): void {
    this.#timer = undefined;
    const { log, options } = this.#workings;
    const open = log.epochs().at(-1);
    if (open === undefined || open.sealedMs !== undefined) return;
    if (this.#ages.ageMs(open) >= options.dirtyAgeMs - 1) this.seal();
    else this.changed();
  }

  /** Pending while changes of the file have to wait for an operation that goes through to the origin. */
  gate(handle: FileHandle): Promise<void> | undefined {
    return this.#gates.get(handle);
  }

  /**
   * Does `action` at the origin while nothing of the file is dirty and nothing can become so. A change of content (`isContent`) comes after
   * all that was written before, of whatever file. Undefined: that could not be brought to the origin.
   */
  async through<Reply>(
    handle: FileHandle,
    isContent: boolean,
    action: () => Reply | Promise<Reply>,
  ): Promise<Reply | undefined> {
    for (let gate = this.gate(handle); gate !== undefined; gate = this.gate(handle)) await gate;
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gates.set(handle, gate);
    try {
      return (await this.#cleaned(handle, isContent)) ? await action() : undefined;
    } finally {
      this.#gates.delete(handle);
      open();
    }
  }

  async #cleaned(handle: FileHandle, isContent: boolean): Promise<boolean> {
    const { files, options, log } = this.#workings;
    const isBusy = (): boolean => {
      const file = files.find(handle);
      return file !== undefined && files.isBusy(file);
    };
    if (options.mode === 'redirect') return !isBusy();
    const mustArrive = isContent && log.epochs().length > 0;
    for (let round = 0; round < drainRounds; round++) {
      if (isBusy() || (mustArrive && round === 0)) {
        const hasArrived = await this.everythingArrived();
        if (!hasArrived && (mustArrive || isBusy())) return false;
        continue;
      }
      const noted = this.noted();
      if (noted === undefined) return true;
      if (!(await noted)) return false;
    }
    return false;
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
