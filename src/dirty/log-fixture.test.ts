/** A dirty log on a simulated disk, and what its tests write to it. */
import { seededRandom, ViaductError } from '../base/mod.ts';
import { SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import type { Appended, DirtyLogOptions } from './contract.ts';
import { during, openOn, shown } from './log-model.test.ts';
import type { DirtyLog } from './mod.ts';

export const time = { seconds: 1_700_000_000, nanoseconds: 5 };

export class Bench {
  clock = new SimulatedClock();
  #seed = 11;
  disk: SimulatedDisk;

  constructor(options: { capacityBytes?: number; dropsPagesAfterFailure?: boolean } = {}) {
    this.disk = new SimulatedDisk({ clock: this.clock, random: seededRandom(7), ...options });
  }

  open(options: Partial<DirtyLogOptions> = {}): Promise<DirtyLog> {
    return this.run(openOn(this.disk, this.clock, this.#seed++, options as Parameters<typeof openOn>[3]));
  }

  run<T>(promise: Promise<T> | T): Promise<T> {
    return during(this.clock, promise);
  }

  write(log: DirtyLog, key: string, offset: number, count: number, byte: number, writer = 1): Promise<Appended> {
    const file = log.file(key);
    const sizeAfter = Math.max(log.state(file)?.size ?? 0, offset + count);
    return this.run(log.write({ file, writer, offset, count, sizeAfter, time, data: [Buffer.alloc(count, byte)] }));
  }

  resize(log: DirtyLog, key: string, sizeAfter: number): Promise<Appended> {
    return this.run(log.resize({ file: log.file(key), writer: 1, sizeAfter, time }));
  }

  async bytes(log: DirtyLog, key: string, offset: number, count: number): Promise<number[]> {
    return [...(await this.run(shown(log.read(log.file(key), offset, count))))];
  }

  /** The next boot finds what this one left. */
  crash(kind: 'kill' | 'power'): void {
    this.clock = new SimulatedClock();
    this.disk = this.disk.crash(kind, { clock: this.clock });
  }
}

export function code(wanted: string) {
  return (error: unknown) => error instanceof ViaductError && error.code === wanted;
}

export function writeTo(log: DirtyLog, offset: number, count: number, byte: number) {
  const sizeAfter = 10_000_000;
  return log.write({
    file: log.file('a'),
    writer: 1,
    offset,
    count,
    sizeAfter,
    time,
    data: [Buffer.alloc(count, byte)],
  });
}
