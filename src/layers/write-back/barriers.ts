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
import type { Workings } from './workings.ts';

/** Rounds of draining for one file before it is taken for stuck: other writers may make it dirty again meanwhile. */
const drainRounds = 8;

export class Barriers {
  readonly #workings: Workings;
  readonly #drain: DrainFace;
  readonly #gates = new Map<FileHandle, Promise<void>>();
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(workings: Workings, drain: DrainFace) {
    this.#workings = workings;
    this.#drain = drain;
    this.changed();
  }

  /** Changes answered before the call are where the policy wants them; false: they cannot be. */
  async commit(): Promise<boolean> {
    const { log, options, logger } = this.#workings;
    if (options.commit === 'origin' && options.mode === 'write-back') {
      const upTo = log.seal();
      return upTo === 0 || (await this.#arrived(upTo));
    }
    try {
      await log.stabilize();
    } catch (error) {
      if (!this.#isClosed) logger.error({ error }, 'a commit to the dirty log failed');
      return false;
    }
    this.#restart();
    this.#drain.wake();
    return true;
  }

  /** The same for what must be stable without ending the epoch (SETATTR, RFC 1813 4.8). */
  async settle(): Promise<boolean> {
    const { log, options, logger } = this.#workings;
    if (options.commit === 'origin' && options.mode === 'write-back') return this.commit();
    try {
      await log.sync();
      return true;
    } catch (error) {
      if (!this.#isClosed) logger.error({ error }, 'a sync of the dirty log failed');
      return false;
    }
  }

  /** What follows depends on what was written so far. */
  seal(): void {
    if (this.#workings.options.mode === 'redirect') return;
    if (this.#workings.log.seal() === 0) return;
    this.#restart();
    this.#drain.wake();
  }

  /** Everything written so far to the origin. */
  drained(): Promise<DrainResult> {
    return this.#drain.request(this.#workings.log.seal());
  }

  /** Whether everything written so far reached the origin, or was saved elsewhere because of a conflict. */
  async everythingArrived(): Promise<boolean> {
    const upTo = this.#workings.log.seal();
    if (upTo === 0) return true;
    await this.#drain.request(upTo);
    return !this.#workings.log.epochs().some((epoch) => epoch.number <= upTo);
  }

  async #arrived(upTo: number): Promise<boolean> {
    const { outcome } = await this.#drain.request(upTo);
    return outcome === 'done' || !this.#workings.log.epochs().some((epoch) => epoch.number <= upTo);
  }

  /** An epoch ended: the next one is as old as its own first change. */
  #restart(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.changed();
  }

  /** A change was appended. The drain is told of the first one of an epoch: its delay begins. */
  changed(): void {
    if (this.#timer !== undefined || this.#isClosed || this.#workings.options.mode === 'redirect') return;
    const { clock, log, options } = this.#workings;
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
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
