/**
 * Two disks whose writes are ordered across them by flushes, and what may be seen of them at the origin.
 *
 *     epoch:   1          2          3          4
 *     write:   a <- 1     b <- 1     a <- 2     b <- 2    ...   number n goes to slot n mod slots, whole
 *     flush:   a          b          a          b
 *
 * At every moment the origin must hold all epochs up to some k, and of epoch k + 1 any of its blocks. `prefixOf` finds k from the
 * bytes of both disks, or throws.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const blockBytes = 4096;
const slots = 12;
const blocksInSlot = 4;
const blocks = slots * blocksInSlot;

export const diskNames = ['a', 'b'] as const;
export type Disks = readonly [Buffer, Buffer];

/** A disk that can be written and flushed, whichever the client. */
export interface Disk {
  write(offset: number, data: Buffer): Promise<void>;
  commit(): Promise<void>;
}

export interface Prefix {
  /** All epochs up to this one are whole. */
  readonly complete: number;
  /** The newest epoch of which anything is there. */
  readonly newest: number;
}

function content(disk: number, block: number, number: number): Buffer {
  const unit = Buffer.alloc(8);
  unit.writeUInt32BE((disk << 16) | block, 0);
  unit.writeUInt32BE(number, 4);
  return Buffer.alloc(blockBytes, unit);
}

export async function makeDisks(directory: string): Promise<void> {
  for (const disk of [0, 1]) {
    const all = Array.from({ length: blocks }, (_, block) => content(disk, block, 0));
    await writeFile(join(directory, diskNames[disk]!), Buffer.concat(all));
  }
}

export async function readDisks(directory: string): Promise<Disks> {
  return [await readFile(join(directory, 'a')), await readFile(join(directory, 'b'))];
}

/** Writes epoch after epoch until told to stop, and counts what was promised. */
export class OrderedWriter {
  /** Epochs whose flush was answered. */
  promised = 0;
  /** The epoch whose writes were all answered. */
  answered = 0;
  stopped = false;
  readonly #disks: readonly Disk[];
  readonly #pauseMs: number;

  constructor(disks: readonly Disk[], pauseMs: number) {
    this.#disks = disks;
    this.#pauseMs = pauseMs;
  }

  async run(): Promise<void> {
    while (!this.stopped) await this.#epoch(this.promised + 1);
  }

  async #epoch(epoch: number): Promise<void> {
    const disk = (epoch + 1) % 2;
    const number = (epoch + 1) >> 1;
    const first = (number % slots) * blocksInSlot;
    const target = this.#disks[disk]!;
    const writes = Array.from({ length: blocksInSlot }, (_, index) =>
      target.write((first + index) * blockBytes, content(disk, first + index, number)),
    );
    await Promise.all(writes);
    this.answered = epoch;
    await target.commit();
    this.promised = epoch;
    if (this.#pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
  }
}

/** The number that a disk's slot holds after all epochs up to `epoch`. */
function numberAfter(epoch: number, disk: number, slot: number): number {
  const last = disk === 0 ? (epoch + 1) >> 1 : epoch >> 1;
  const number = last - ((((last - slot) % slots) + slots) % slots);
  return Math.max(number, 0);
}

/** Throws if the two disks are no prefix of the epochs plus a part of the next. */
export function prefixOf(disks: Disks): Prefix {
  const numbers = disks.map((bytes, disk) => blockNumbers(bytes, disk));
  const newestOf = (disk: number): number => Math.max(...numbers[disk]!);
  const newest = Math.max(2 * newestOf(0) - 1, 2 * newestOf(1), 0);
  const last = newest % 2 === 1 ? 0 : 1;
  const lastSlot = ((newest + 1) >> 1) % slots;
  let missing = 0;
  for (const [disk, found] of numbers.entries()) {
    for (const [block, number] of found.entries()) {
      const slot = Math.floor(block / blocksInSlot);
      if (number === numberAfter(newest, disk, slot)) continue;
      const before = numberAfter(newest - 1, disk, slot);
      assert.ok(
        disk === last && slot === lastSlot && number === before,
        `epoch ${newest} is there, but block ${block} of disk ${diskNames[disk]} holds ${number} instead of ${before}`,
      );
      missing++;
    }
  }
  return { complete: missing === 0 ? newest : newest - 1, newest };
}

function blockNumbers(bytes: Buffer, disk: number): number[] {
  assert.equal(bytes.length, blocks * blockBytes, `disk ${diskNames[disk]} has another size`);
  return Array.from({ length: blocks }, (_, block) => {
    const found = bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
    const number = found.readUInt32BE(4);
    assert.ok(found.equals(content(disk, block, number)), `block ${block} of disk ${diskNames[disk]} is torn`);
    return number;
  });
}
