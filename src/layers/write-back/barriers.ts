/**
 * Where one epoch ends and what has to wait for it: group commit, sealing, the ceiling of the age of dirty data.
 *
 *     COMMIT, FILE_SYNC   local: log.stabilize()      origin: seal, drain up to there
 *     name operation      seal
 *     oldest change of the open epoch `dirtyAgeMs` old: seal
 */
import type { Timer } from '../../base/mod.ts';
import type { FileHandle } from '../../vfs/mod.ts';
import type { DrainFace, DrainResult } from './contract.ts';
import type { DirtyFile } from './files.ts';
import { type Workings, withheld } from './workings.ts';

/** Rounds of draining for one file before it is taken for stuck: other writers may make it dirty again meanwhile. */
const drainRounds = 8;

export class Barriers {
  readonly #workings: Workings;
  readonly #drain: DrainFace;
  readonly #gates = new Map<FileHandle, Promise<void>>();
  #timer: Timer | undefined;

  constructor(workings: Workings, drain: DrainFace) {
    this.#workings = workings;
    this.#drain = drain;
    this.changed();
  }

  /** Changes answered before the call are where the policy wants them; false: they cannot be. */
  async commit(): Promise<boolean> {
    const { log, options, lifetime } = this.#workings;
    // What is never written back needs no order: one epoch for all, or they would pile up.
    if (this.#needsOrigin || options.mode === 'redirect') return this.settle();
    if (lifetime.isClosed) return withheld();
    const isStable = await this.#stable(() => log.stabilize());
    if (!lifetime.isClosed) this.#restart();
    return isStable;
  }

  /** The same for what must be stable without ending the epoch (SETATTR, RFC 1813 4.8). */
  async settle(): Promise<boolean> {
    const { log, lifetime } = this.#workings;
    if (this.#needsOrigin) return this.everythingArrived();
    return lifetime.isClosed ? withheld() : this.#stable(() => log.sync());
  }

  get #needsOrigin(): boolean {
    const { commit, mode } = this.#workings.options;
    return commit === 'origin' && mode === 'write-back';
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
    if (upTo === 0) return true;
    const { outcome } = await this.#drain.request(upTo);
    if (outcome === 'closed') return withheld();
    return !log.epochs().some((epoch) => epoch.number <= upTo);
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
    const leftMs = open.firstMs + options.dirtyAgeMs - clock.wallTimeMs();
    // The wall clock may have been set; the ceiling holds by the other clock.
    this.#timer = clock.after(Math.max(0, Math.min(leftMs, options.dirtyAgeMs)), () => this.#aged());
    this.#drain.wake();
  }

  #aged(): void {
    this.#timer = undefined;
    const { clock, log, options } = this.#workings;
    const open = log.epochs().at(-1);
    if (open === undefined || open.sealedMs !== undefined) return;
    if (open.firstMs + options.dirtyAgeMs <= clock.wallTimeMs() + 1) this.seal();
    else this.changed();
  }

  /** Pending while changes of the file have to wait for an operation that goes through to the origin. */
  gate(handle: FileHandle): Promise<void> | undefined {
    return this.#gates.get(handle);
  }

  /**
   * Does `action` at the origin while nothing of the file is dirty and nothing can become so. Undefined: the file's changes
   * could not be brought to the origin.
   */
  async through<Reply>(handle: FileHandle, action: () => Reply | Promise<Reply>): Promise<Reply | undefined> {
    for (let gate = this.gate(handle); gate !== undefined; gate = this.gate(handle)) await gate;
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gates.set(handle, gate);
    try {
      return (await this.#cleaned(handle)) ? await action() : undefined;
    } finally {
      this.#gates.delete(handle);
      open();
    }
  }

  async #cleaned(handle: FileHandle): Promise<boolean> {
    const { files, options } = this.#workings;
    const isBusy = (file: DirtyFile | undefined): boolean => file !== undefined && files.isBusy(file);
    for (let round = 0; isBusy(files.find(handle)); round++) {
      if (round === drainRounds || options.mode === 'redirect') return false;
      const { outcome } = await this.drained();
      if (outcome !== 'done') return !isBusy(files.find(handle));
    }
    return true;
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
