/**
 * A write-back layer over a memory file system and a dirty log on a simulated disk, which can be killed, cut off from power or
 * closed, and opened again.
 *
 *     layer (checked) > write-back > faults > memory          dirty log > simulated disk
 */
import { type Clock, type Log, type Random, seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { DirtyLog, type DirtyLogFace } from '../dirty/mod.ts';
import {
  Checker,
  type Conflict,
  type DrainContext,
  type DrainFace,
  type OriginFacts,
  WriteBack,
  type WriteBackOptions,
} from '../layers/mod.ts';
import type { FileHandle, Filesystem, WccAttributes } from '../vfs/mod.ts';
import { FaultLayer } from './faults.ts';
import { MemoryFilesystem } from './memory-filesystem.ts';
import { PlainDrain } from './plain-drain.ts';
import { type CrashKind, SimulatedDisk } from './simulated-disk.ts';

export interface WriteBackFixtureOptions extends Partial<WriteBackOptions> {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Log;
  readonly limitBytes?: number;
  /** The drain works by itself. Default: only when it is asked. */
  readonly isEager?: boolean;
  readonly createDrain?: (context: DrainContext) => DrainFace;
  /** Stands between write-back and the origin. */
  readonly below?: (next: Filesystem) => Filesystem;
}

export class WriteBackFixture {
  readonly clock: Clock;
  readonly memory: MemoryFilesystem;
  readonly faults: FaultLayer;
  lease: ReturnType<OriginFacts['lease']> = { state: 'none' };
  /** Calls that may have been carried out twice. */
  restarts = 0;
  disk: SimulatedDisk;
  log!: DirtyLogFace;
  writeBack!: WriteBack;
  /** What clients see. */
  layer!: Filesystem;
  drain: PlainDrain | undefined;
  #context: DrainContext | undefined;
  readonly #options: WriteBackFixtureOptions;
  readonly #next: Filesystem;
  #boots = 1;

  private constructor(options: WriteBackFixtureOptions) {
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.memory = new MemoryFilesystem({ clock: this.clock, poisonReleased: true });
    this.faults = new FaultLayer(this.memory);
    this.#next = options.below?.(this.faults) ?? this.faults;
    const random = options.random ?? seededRandom(1);
    const latencyMs = { write: 0.1, read: 0.1, sync: 1 };
    this.disk = new SimulatedDisk({ clock: this.clock, random, latencyMs });
  }

  static async open(options: WriteBackFixtureOptions = {}): Promise<WriteBackFixture> {
    const fixture = new WriteBackFixture(options);
    await fixture.#open();
    return fixture;
  }

  async #open(): Promise<void> {
    const { createDrain, isEager, limitBytes, random, logger, clock: _, below: __, ...options } = this.#options;
    const { clock, faults } = this;
    this.log = await DirtyLog.open({
      directory: this.disk,
      identity: 'fixture',
      limitBytes: limitBytes ?? 256 * 1024 * 1024,
      segmentBytes: 4 * 1024 * 1024,
      bootId: `boot ${this.#boots}`,
      keeps: options.mode === 'redirect',
      clock,
      log: logger ?? silentLog,
      random: random ?? seededRandom(2),
      onPressure: () => this.writeBack.relieve(),
    });
    this.writeBack = new WriteBack(this.#next, {
      log: this.log,
      clock,
      logger: logger ?? silentLog,
      origin: { fresh: faults, conditionalWrites: () => false, restarts: () => this.restarts, lease: () => this.lease },
      options,
      createDrain: (context) => {
        this.#context = context;
        if (createDrain !== undefined) return createDrain(context);
        this.drain = new PlainDrain(context, isEager);
        return this.drain;
      },
    });
    this.layer = new Checker(this.writeBack, { name: 'fixture', clock, log: silentLog, strict: true });
  }

  /** What the origin is known to show of a file. */
  base(object: FileHandle): WccAttributes | undefined {
    return this.#context!.files.get(object)?.base;
  }

  /** What the drain does with a file that somebody else changed, when its version is saved. */
  async conflict(object: FileHandle, conflict: Conflict): Promise<void> {
    const { files, log } = this.#context!;
    const { number } = files.update(object, { conflict, base: conflict.found, presented: undefined });
    log.drop(number);
    await log.sync();
  }

  /** Ends the process in one of three ways and begins the next. */
  async reopen(how: CrashKind | 'close'): Promise<void> {
    if (how === 'close') await this.writeBack.close();
    else this.disk = this.disk.crash(how);
    if (how === 'power') this.#boots++;
    await this.#open();
  }

  async close(): Promise<void> {
    await this.writeBack.close();
  }
}
