/**
 * Clients at work on sessions until they are told to stop, each over libnfs, which holds its calls while nobody answers. What a client saw
 * that it should not have, an error or other bytes, comes out of `stop`.
 *
 *     Disk     qemu-io   writes, flushes and reads back a file of its own, and knows what each block holds
 *     Reader   qemu-io   reads a file that nobody changes
 *     Bench    qemu-img  reads as fast as it can
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, seededRandom } from '../../src/base/mod.ts';
import { until } from '../support/programs.ts';
import { QemuIo } from '../write-back/qemu-io.ts';

export const blockBytes = 4096;
export const diskBlocks = 512;
/** Between two operations of one client: twenty of them share a machine. */
const pauseMs = 15;

/** What files that nobody changes are full of. */
export const goldenPattern = 7;

export interface Load {
  /** Operations that were answered. */
  readonly done: number;
  /** The longest that one of them took. */
  readonly longestMs: number;
  /** Throws what it saw. */
  stop(): Promise<void>;
}

/** Waits until each of them was answered again, and has ended nowhere. */
export async function untilAnswered(loads: readonly Load[]): Promise<void> {
  const before = loads.map(({ done }) => done);
  await until(
    'every client is answered',
    async () => loads.every(({ done }, index) => done >= before[index]! + 2),
    90_000,
  );
}

abstract class QemuIoLoad implements Load {
  done = 0;
  longestMs = 0;
  protected readonly io: QemuIo;
  #goesOn = true;
  #ended: Promise<void> = Promise.resolve();

  protected constructor(io: QemuIo) {
    this.io = io;
  }

  protected abstract step(): Promise<void>;

  begin(): this {
    this.#ended = this.#work();
    // Whoever stops it hears of it.
    this.#ended.catch(() => {});
    return this;
  }

  async stop(): Promise<void> {
    this.#goesOn = false;
    await this.#ended;
    await this.io.close();
  }

  /** Without a word: after a failure. */
  async kill(): Promise<void> {
    this.#goesOn = false;
    await this.io.kill();
    await this.#ended.catch(() => {});
  }

  async #work(): Promise<void> {
    while (this.#goesOn) {
      const began = performance.now();
      await this.step();
      this.longestMs = Math.max(this.longestMs, performance.now() - began);
      this.done++;
      await sleep(pauseMs);
    }
  }
}

export class Disk extends QemuIoLoad {
  /** What each block holds. */
  readonly held = new Uint8Array(diskBlocks);
  readonly #random: Random;

  static async open(url: string, seed: number): Promise<Disk> {
    return new Disk(await QemuIo.open(url), seededRandom(seed));
  }

  private constructor(io: QemuIo, random: Random) {
    super(io);
    this.#random = random;
  }

  protected async step(): Promise<void> {
    const choice = this.#random.uint32() % 10;
    const block = this.#random.uint32() % diskBlocks;
    if (choice < 6) await this.write(block, 1 + (this.#random.uint32() % Math.min(16, diskBlocks - block)));
    else if (choice < 9) await this.#readBack(block);
    else await this.io.run('flush');
  }

  async write(block: number, blocks: number, pattern = 1 + (this.#random.uint32() % 255)): Promise<void> {
    await this.io.run(`write -P ${pattern} ${block * blockBytes} ${blocks * blockBytes}`);
    this.held.fill(pattern, block, block + blocks);
  }

  async #readBack(block: number): Promise<void> {
    await this.io.run(`read -P ${this.held[block]} ${block * blockBytes} ${blockBytes}`);
  }

  /** Throws unless every block that was written is in that file. */
  async assertIn(path: string): Promise<void> {
    const image = await readFile(path);
    assert.equal(image.length, diskBlocks * blockBytes, path);
    const wrong: string[] = [];
    for (const [block, pattern] of this.held.entries()) {
      const bytes = image.subarray(block * blockBytes, (block + 1) * blockBytes);
      if (!bytes.equals(Buffer.alloc(blockBytes, pattern))) wrong.push(`${block}: ${bytes[0]} instead of ${pattern}`);
    }
    assert.equal(wrong.length, 0, `${path}: ${wrong.length} blocks: ${wrong.slice(0, 8).join(', ')}`);
  }
}

export class Reader extends QemuIoLoad {
  #block = 0;

  static async open(url: string): Promise<Reader> {
    return new Reader(await QemuIo.open(url, { isReadOnly: true }));
  }

  protected async step(): Promise<void> {
    this.#block = (this.#block + 97) % diskBlocks;
    await this.io.run(`read -P ${goldenPattern} ${this.#block * blockBytes} ${blockBytes}`);
  }
}

/** Its reads are not counted one by one: it lives, or it has seen an error. */
export class Bench {
  readonly #child: ChildProcess;
  #said = '';

  constructor(url: string) {
    const size = diskBlocks * blockBytes;
    const args = ['bench', '-f', 'raw', '-c', '1000000000', '-d', '8', '-s', '4096', '-S', `${size / 2 + 8192}`, url];
    this.#child = spawn('qemu-img', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (text: Buffer) => {
        this.#said += text.toString();
      });
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    assert.ok(exitCode === null && signalCode === null, `qemu-img ended with ${exitCode ?? signalCode}: ${this.#said}`);
    await this.kill();
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
