/**
 * One file of a simulated disk: what readers see, what the platter has for sure, and the writes between the two.
 *
 *     begin ──► under way ──finish──► finished: seen by readers ──persist──► on the platter
 *                                          └──persistSome (a failed sync)──► on the platter, or forgotten by the kernel
 *
 * The kernel writes a page back once: what a failed sync did not put on the platter, no later sync will (fsyncgate).
 */
import type { Chance } from './chance.ts';
import { SparseBytes } from './sparse-bytes.ts';

const sectorBytes = 512;

export interface WriteUnderWay {
  readonly position: number;
  readonly data: Buffer;
  state: 'under way' | 'finished' | 'forgotten';
}

/** What tends to happen to unsynced writes in one power loss. */
export type Temper = 'mixed' | 'kept' | 'lost' | 'torn' | 'old';
type Fate = Exclude<Temper, 'mixed'> | 'prefix';

export class SimulatedFile {
  /** As this boot sees it. */
  size: number;
  #seen = new SparseBytes();
  readonly #platter: SparseBytes;
  /** What the platter had before its last change, where it had something. */
  readonly #older = new SparseBytes();
  /** Not on the platter, in the order of their beginning. */
  #writes: WriteUnderWay[] = [];
  #durableSize: number | undefined;

  constructor(size: number, platter = new SparseBytes()) {
    this.size = size;
    this.#platter = platter;
    this.#seen = platter.copy();
  }

  begin(position: number, slices: readonly Uint8Array[]): WriteUnderWay {
    const write: WriteUnderWay = { position, data: Buffer.concat(slices), state: 'under way' };
    this.#writes.push(write);
    return write;
  }

  finish(write: WriteUnderWay): void {
    write.state = 'finished';
    this.#seen.write(write.position, write.data);
    this.size = Math.max(this.size, write.position + write.data.length);
  }

  /** The write failed: some of it may be there. */
  giveUp(write: WriteUnderWay, chance: Chance): void {
    this.#writes = this.#writes.filter((other) => other !== write);
    const count = Math.min(chance.below(write.data.length + 1), Math.max(0, this.size - write.position));
    if (count > 0) this.finish(this.begin(write.position, [write.data.subarray(0, count)]));
  }

  read(position: number, length: number): Uint8Array {
    return this.#seen.read(position, length);
  }

  finished(): WriteUnderWay[] {
    return this.#writes.filter((write) => write.state === 'finished');
  }

  persist(covered: readonly WriteUnderWay[]): void {
    this.#durableSize = this.size;
    const done = new Set(covered.filter((write) => write.state === 'finished'));
    for (const [index, write] of this.#writes.entries()) {
      if (!done.has(write)) continue;
      this.#put(write);
      // Written again after all.
      for (const before of this.#writes.slice(0, index))
        if (before.state === 'forgotten' && covers(write, before)) done.add(before);
    }
    this.#writes = this.#writes.filter((write) => !done.has(write));
  }

  persistSome(covered: readonly WriteUnderWay[], chance: Chance, dropsPages: boolean): void {
    this.persist(covered.filter(() => chance.happens(0.3)));
    for (const write of covered) {
      if (!this.#writes.includes(write)) continue;
      write.state = 'forgotten';
      if (dropsPages && chance.happens(0.5)) {
        this.#seen.write(write.position, this.#platter.read(write.position, write.data.length));
      }
    }
  }

  damage(position: number, bytes: Uint8Array): void {
    this.#platter.write(position, bytes);
    this.#seen.write(position, bytes);
  }

  #put({ position, data }: WriteUnderWay): void {
    const first = Math.floor(position / sectorBytes) * sectorBytes;
    for (let at = first; at < position + data.length; at += sectorBytes) {
      if (this.#platter.isPresent(at)) this.#older.write(at, this.#platter.read(at, sectorBytes));
    }
    this.#platter.write(position, data);
  }

  /** The page cache goes on; of writes under way any part may have been done. */
  afterKill(chance: Chance): SimulatedFile {
    for (const write of this.#writes.filter((other) => other.state === 'under way')) {
      const fate = chance.below(3);
      if (fate === 0) this.finish(write);
      else if (fate === 1) this.#writes = this.#writes.filter((other) => other !== write);
      else this.giveUp(write, chance);
    }
    return this;
  }

  afterPowerLoss(chance: Chance, temper: Temper, ghosts: readonly SimulatedFile[]): SimulatedFile {
    const platter = this.#platter.copy();
    // What the file had reserved shows what those sectors were used for before, until they are written and synced.
    const isNew = this.#durableSize === undefined;
    if (isNew && ghosts.length > 0 && chance.happens(0.5)) this.#haunt(platter, chance.pick(ghosts));
    for (const write of this.#writes) {
      const fate = temper === 'mixed' || chance.happens(0.2) ? anyFate(chance) : temper;
      this.#apply(platter, write, fate, chance, ghosts);
    }
    const size = this.#durableSize ?? this.#anyLength(chance);
    const after = new SimulatedFile(Math.max(size, chance.happens(0.5) ? this.size : size), platter);
    after.#durableSize = after.size;
    return after;
  }

  #anyLength(chance: Chance): number {
    const fate = chance.below(3);
    if (fate === 0) return this.size;
    return fate === 1 ? 0 : chance.below(Math.floor(this.size / sectorBytes) + 1) * sectorBytes;
  }

  #haunt(platter: SparseBytes, ghost: SimulatedFile): void {
    const bytes = Math.min(this.size, ghost.size, 64 * 1024);
    for (let at = 0; at < bytes; at += sectorBytes) {
      if (ghost.#seen.isPresent(at) && !platter.isPresent(at)) platter.write(at, ghost.#seen.read(at, sectorBytes));
    }
  }

  #apply(
    platter: SparseBytes,
    write: WriteUnderWay,
    fate: Fate,
    chance: Chance,
    ghosts: readonly SimulatedFile[],
  ): void {
    const { position, data } = write;
    if (fate === 'kept') platter.write(position, data);
    else if (fate === 'prefix') platter.write(position, data.subarray(0, chance.below(data.length + 1)));
    if (fate !== 'torn' && fate !== 'old') return;
    const ghost = chance.pick([this.#older, ...ghosts.map((file) => file.#seen)]);
    const end = position + data.length;
    for (let at = Math.floor(position / sectorBytes) * sectorBytes; at < end; at += sectorBytes) {
      const from = Math.max(at, position);
      const to = Math.min(at + sectorBytes, end);
      if (fate === 'torn' && chance.happens(0.5)) platter.write(from, data.subarray(from - position, to - position));
      // Sectors that hold stable bytes beside this write's are not lost: a disk writes a sector whole or not at all. For the same reason
      // nothing happens to one that is written once more as it is.
      else if (fate === 'old' && from === at && to === at + sectorBytes && ghost.isPresent(at)) {
        const isSame =
          this.#platter.isPresent(at) &&
          data.subarray(from - position, to - position).equals(this.#platter.read(at, sectorBytes));
        if (!isSame) platter.write(at, ghost.read(at, sectorBytes));
      }
    }
  }
}

function covers(write: WriteUnderWay, other: WriteUnderWay): boolean {
  const end = write.position + write.data.length;
  return write.position <= other.position && end >= other.position + other.data.length;
}

function anyFate(chance: Chance): Fate {
  return chance.pick(['kept', 'lost', 'torn', 'prefix', 'old'] as const);
}
