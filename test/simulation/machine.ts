/**
 * The host of the proxy: a disk, a boot id, and one process at a time, which can be killed at any event and is started again.
 *
 *     boot ──► up ──crash (kill or power, at a disk or network event)──► down ──after the dead's requests are gone──► boot ...
 *                                      └── crash while booting: the same
 *
 * What a dead process still does is not seen by anybody: its disk, its connection and its clock are dead with it.
 */
import type { Clock, Eventual, Random, Timer } from '../../src/base/mod.ts';
import {
  Chance,
  type CrashKind,
  type SimulatedClock,
  type SimulatedConnection,
  SimulatedDisk,
  type SimulatedDiskOptions,
  type SimulatedNetwork,
} from '../../src/testing/mod.ts';
import type { Surroundings } from './surroundings.ts';
import type { System } from './system.ts';

export interface MachineOptions {
  readonly clock: SimulatedClock;
  readonly random: Random;
  readonly network: SimulatedNetwork;
  readonly disk: Omit<SimulatedDiskOptions, 'clock' | 'random' | 'onEvent'>;
  /** Requests of a dead process are gone after this. */
  readonly lateMs: number;
  /** Whether faults of the disk excuse that a boot fails: then it is tried again. */
  readonly excusesBoot: (error: unknown) => boolean;
  readonly build: (surroundings: Surroundings) => Promise<System>;
  /** In the turn in which a process is up, before anybody asks it. `died`: how the one before ended. */
  readonly onBoot: (system: System, died: CrashKind | 'closed' | undefined, isAlive: () => boolean) => Eventual<void>;
}

const bootRetryMs = 300;

interface Process {
  readonly clock: ProcessClock;
  readonly connection: SimulatedConnection;
  readonly mourners: Set<() => void>;
  system: System | undefined;
  isAlive: boolean;
  isClosing: boolean;
}

export class Machine {
  disk: SimulatedDisk;
  crashes = 0;
  kills = 0;
  /** Events until the next crash; counted by the disk and the network. */
  countdown = Number.POSITIVE_INFINITY;
  /** Decides how the next crash is. */
  crashKind: () => CrashKind = () => 'power';
  onCrash: (kind: CrashKind) => void = () => {};
  /** Rejects the run: something failed where nobody waits. */
  onError: (error: unknown) => void = () => {};
  readonly #options: MachineOptions;
  readonly #chance: Chance;
  #process: Process | undefined;
  #boots = 0;
  #powerCycles = 0;
  #died: CrashKind | 'closed' | undefined;
  #waiting: (() => void)[] = [];

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#chance = new Chance(options.random);
    this.disk = new SimulatedDisk({ ...options.disk, ...this.#diskContext(options.clock) });
  }

  get boots(): number {
    return this.#boots;
  }

  get isUp(): boolean {
    return this.#process?.system !== undefined && !this.#process.isClosing;
  }

  get system(): System {
    return this.#process!.system!;
  }

  /** One thing happened; maybe it was the last one. */
  event(): void {
    if (this.#process === undefined) return;
    if (--this.countdown <= 0) this.crash(this.crashKind());
  }

  start(): void {
    const clock = new ProcessClock(this.#options.clock);
    const connection = this.#options.network.connect();
    const process: Process = {
      clock,
      connection,
      mourners: new Set(),
      system: undefined,
      isAlive: true,
      isClosing: false,
    };
    this.#process = process;
    this.disk = this.#nextDisk(clock);
    this.#boots++;
    this.#boot(process).catch((error: unknown) => {
      if (!process.isAlive) return;
      if (!this.#options.excusesBoot(error)) return this.onError(error);
      this.#end(process);
      this.#options.clock.after(bootRetryMs, () => this.start());
    });
  }

  async #boot(process: Process): Promise<void> {
    const { random, build, onBoot } = this.#options;
    const bootId = `boot ${this.#powerCycles}`;
    const { clock, connection } = process;
    const system = await build({ clock, connection, random, directory: this.disk, bootId });
    if (!process.isAlive) return;
    const died = this.#died;
    await onBoot(system, died, () => process.isAlive);
    if (!process.isAlive) return;
    process.system = system;
    for (const goOn of this.#waiting.splice(0)) goOn();
  }

  #nextDisk(clock: Clock): SimulatedDisk {
    const context = this.#diskContext(clock);
    return this.disk.crash('kill', context);
  }

  #diskContext(clock: Clock): SimulatedDiskOptions {
    return { clock, random: this.#options.random, onEvent: () => this.event() };
  }

  crash(kind: CrashKind): void {
    const process = this.#process;
    if (process === undefined) return;
    this.crashes++;
    if (kind === 'kill') this.kills++;
    else this.#powerCycles++;
    // A power loss after a kill nobody recovered from is a power loss.
    this.#died = kind === 'power' || this.#died === 'power' ? 'power' : 'kill';
    this.#end(process);
    this.disk = this.disk.crash(kind, { clock: this.#options.clock });
    this.onCrash(kind);
    const restMs = this.#options.lateMs + this.#chance.below(50);
    this.#options.clock.after(restMs, () => this.start());
  }

  #end(process: Process): void {
    this.#process = undefined;
    process.isAlive = false;
    process.clock.stop();
    this.#options.network.kill(process.connection);
    for (const mourn of process.mourners) mourn();
  }

  /** The recovery was looked at: what died before does not matter any more. */
  forgetDeath(): void {
    this.#died = undefined;
  }

  /** Ends the process in order; the next boot finds a closed log. */
  async close(): Promise<boolean> {
    const process = this.#process;
    if (process?.system === undefined || process.isClosing) return false;
    process.isClosing = true;
    const closed = process.system.close().catch((error: unknown) => {
      // The disk failed: the next boot finds what a kill leaves.
      if (!this.#options.excusesBoot(error)) this.onError(error);
      return 'failed' as const;
    });
    const ended = await Promise.race([closed, new Promise<void>((resolve) => process.mourners.add(resolve))]);
    if (!process.isAlive) return false;
    this.#died ??= ended === 'failed' ? 'kill' : 'closed';
    this.#end(process);
    this.#options.clock.after(this.#options.lateMs, () => this.start());
    return true;
  }

  /** Waits until a process is up. */
  up(): Promise<void> {
    if (this.isUp) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Asks the process that is up. Undefined: it died before the answer. */
  ask<R>(question: (system: System) => Eventual<R>): Promise<R | undefined> {
    const process = this.#process;
    if (process?.system === undefined || process.isClosing) return Promise.resolve(undefined);
    return new Promise<R | undefined>((resolve, reject) => {
      const mourn = (): void => resolve(undefined);
      process.mourners.add(mourn);
      const answer = question(process.system!);
      Promise.resolve(answer).then(
        (value) => {
          // Who is refused while the process closes is told by its end.
          if (!process.isAlive || (process.isClosing && isRefusal(value))) return;
          process.mourners.delete(mourn);
          resolve(value);
        },
        (error: unknown) => {
          // Who waits is refused while the proxy closes, and asks the next one.
          if (process.isAlive && !process.isClosing) reject(error);
        },
      );
    });
  }
}

function isRefusal(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'status' in value && value.status !== 0;
}

/** A process's timers end with it. */
class ProcessClock implements Clock {
  readonly #clock: SimulatedClock;
  #isStopped = false;

  constructor(clock: SimulatedClock) {
    this.#clock = clock;
  }

  stop(): void {
    this.#isStopped = true;
  }

  now(): number {
    return this.#clock.now();
  }

  wallTimeMs(): number {
    return this.#clock.wallTimeMs();
  }

  after(delayMs: number, action: () => void): Timer {
    if (this.#isStopped) return { cancel() {} };
    return this.#clock.after(delayMs, () => {
      if (!this.#isStopped) action();
    });
  }
}
