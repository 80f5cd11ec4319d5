/**
 * One failure under one policy, and what it may cost (docs/durability.md).
 *
 * A client writes two disks in an order that flushes make (ordered.ts); in the middle something fails and is mended; in the end
 * what is at the origin is compared with what was promised. All the time the origin must show a prefix of the epochs.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '../../src/base/mod.ts';
import { run, until } from '../support/programs.ts';
import { Bed, type Policy } from './bed.ts';
import { type CarefulFile, Client } from './client.ts';
import { LoopDisk } from './loop-disk.ts';
import { type Disks, diskNames, makeDisks, OrderedWriter, type Prefix, prefixOf, readDisks } from './ordered.ts';
import type { Round } from './round.ts';
import { Sampler } from './sampler.ts';

export type Failure = 'kill' | 'host crash' | 'log disk lost' | 'link cut' | 'origin crash';

/** Long enough for some epochs to be written back and some not. */
const runMs = 350;
const leastEpochs = 5;
const logMebibytes = 96;
const originMebibytes = 16;

export async function failUnder(failure: Failure, policy: Policy, round: number): Promise<Round> {
  const link = failure === 'link cut' ? { link: { roundTripMs: 4 } } : {};
  // What was promised must be at risk: little of it is at the origin when something fails.
  const after = ['200ms', '1s', '1h'][round % 3]!;
  return await Bed.use({ name: 'matrix', policy, after, ...link }, async (bed) => {
    const cell = new Cell(bed, round);
    await cell.prepare(failure);
    await cell.writeSome();
    if (failure === 'kill') await cell.kill();
    else if (failure === 'host crash') await cell.crashHost();
    else if (failure === 'log disk lost') return await cell.loseLog();
    else if (failure === 'link cut') await cell.cutLink();
    else await cell.crashOrigin();
    await cell.writeSome();
    return await cell.finish();
  });
}

class Cell {
  readonly #bed: Bed;
  readonly #sampler: Sampler;
  #client: Client | undefined;
  #files: CarefulFile[] = [];
  #writer: OrderedWriter | undefined;
  #writing: Promise<void> = Promise.resolve();
  #disk: LoopDisk | undefined;
  #bootId = '';
  #seen: Prefix = { complete: 0, newest: 0 };

  constructor(bed: Bed, round: number) {
    this.#bed = bed;
    this.#sampler = new Sampler(() => this.#look(), seededRandom(round), 60);
  }

  async prepare(failure: Failure): Promise<void> {
    const bed = this.#bed;
    if (failure === 'host crash' || failure === 'log disk lost')
      bed.log = join(await this.#loopDisk(logMebibytes), 'log');
    if (failure === 'origin crash') bed.exported = await this.#loopDisk(originMebibytes);
    if (failure === 'host crash') await this.#pretendBoot();
    await makeDisks(bed.exported);
    if (failure === 'origin crash') await run('sync', ['-f', bed.exported]);
    await bed.startOrigin();
    await bed.startProxy();
    this.#client = await Client.open(`nfs://${bed.listen}:2049/`);
    bed.atEnd(() => this.#client!.close());
    this.#files = await Promise.all(diskNames.map((name) => this.#client!.file(name)));
    this.#writer = new OrderedWriter(this.#files, 5);
    this.#writing = this.#writer.run();
    this.#writing.catch(() => {});
    this.#sampler.start();
  }

  get #promised(): number {
    return this.#writer!.promised;
  }

  /** Data that COMMIT promised need not be at the origin yet. */
  get #isLocal(): boolean {
    return this.#bed.policy === 'write-back' || this.#bed.policy === 'redirect';
  }

  async writeFor(ms: number): Promise<void> {
    await Promise.race([this.#writing, new Promise((resolve) => setTimeout(resolve, ms))]);
  }

  /** For as long, and on a busy machine longer: until there are some more epochs. */
  async writeSome(): Promise<void> {
    const enough = this.#promised + leastEpochs;
    await this.writeFor(runMs);
    await until('some epochs are promised', async () => this.#promised >= enough, 30_000);
  }

  async kill(): Promise<void> {
    await this.#bed.killProxy();
    await this.#bed.startProxy();
  }

  async crashHost(): Promise<void> {
    await this.#bed.killProxy();
    await this.#disk!.crash();
    await this.#pretendBoot();
    await this.#bed.startProxy();
  }

  /** The disk with the log breaks: whoever wrote is gone with the host; another log is begun. */
  async loseLog(): Promise<Round> {
    const bed = this.#bed;
    this.#writer!.stopped = true;
    await bed.killProxy();
    const promised = this.#promised;
    await this.#sampler.stop();
    await this.#client!.close();
    await this.#disk!.replace();
    await this.#look();
    const before = this.#seen.complete;
    // The lease of the tree was the old log's: that its data will not come any more is for a person to say, and so is that it is gone.
    if (bed.policy !== 'write-through') await assert.rejects(bed.startProxy([]), /LOG_MISSING/);
    const gone = bed.policy === 'write-through' ? [] : ['--abandon-dirty-log'];
    await bed.startProxy(bed.policy.startsWith('write-back') ? [...gone, '--take-over'] : gone);
    this.#client = await Client.open(`nfs://${bed.listen}:2049/`);
    const stored = await readDisks(bed.exported);
    for (const [index, shown] of (await this.#shown()).entries())
      assert.ok(shown.equals(stored[index]!), 'the proxy shows something else than the origin has');
    await bed.writeBackAll();
    await this.#look();
    assert.equal(this.#seen.complete, before);
    if (this.#isLocal) assert.ok(before <= promised);
    else assert.ok(before >= promised, `epoch ${promised} was promised, the origin has ${before}`);
    return this.#figures();
  }

  async cutLink(): Promise<void> {
    const before = this.#promised;
    await this.#bed.link!.cut();
    await this.writeFor(2 * runMs);
    const during = this.#promised - before;
    if (this.#isLocal) assert.ok(during >= 2, 'nothing was written while the link was away');
    // What was under way as the link was cut may have been answered.
    else assert.ok(during <= 1, `${during} epochs were promised while the link was away`);
    await this.#bed.link!.restore();
  }

  async crashOrigin(): Promise<void> {
    // A look at the origin needs an origin.
    await this.#sampler.stop();
    await this.#bed.killOrigin();
    await this.#disk!.crash();
    this.#seen = { complete: 0, newest: 0 };
    await this.#check(await readDisks(this.#bed.exported));
    if (!this.#isLocal)
      assert.ok(this.#seen.complete >= this.#promised, `epoch ${this.#promised} was promised and is lost`);
    await this.#bed.startOrigin();
    this.#sampler.start();
  }

  async finish(): Promise<Round> {
    const bed = this.#bed;
    this.#writer!.stopped = true;
    await this.#writing;
    await this.#sampler.stop();
    assert.equal(prefixOf(await this.#shown()).complete, this.#promised);
    if (bed.policy === 'redirect') assert.equal(this.#seen.newest, 0, 'a redirected write reached the origin');
    await bed.writeBackAll();
    await this.#look();
    assert.equal(this.#seen.complete, this.#promised, `epoch ${this.#promised} was promised`);
    await bed.assertOnly(diskNames);
    return this.#figures();
  }

  #figures(): Round {
    const resent = this.#files.reduce((total, file) => total + file.resent, 0);
    return { promised: this.#promised, 'at the origin': this.#seen.complete, looks: this.#sampler.looks, resent };
  }

  async #shown(): Promise<Disks> {
    const read = async (name: string): Promise<Buffer> => {
      const file = await this.#client!.file(name);
      return await file.read(0, await file.size());
    };
    return [await read('a'), await read('b')];
  }

  async #look(): Promise<void> {
    await this.#check(await this.#bed.atOneMoment(() => readDisks(this.#bed.exported)));
  }

  async #check(disks: Disks): Promise<void> {
    const found = prefixOf(disks);
    const { complete } = this.#seen;
    assert.ok(found.complete >= complete, `the origin went back from epoch ${complete} to ${found.complete}`);
    this.#seen = found;
  }

  async #loopDisk(mebibytes: number): Promise<string> {
    const disk = await LoopDisk.create(this.#bed.scratch, 'disk', mebibytes);
    this.#disk = disk;
    this.#bed.atEnd(() => disk.remove());
    return disk.path;
  }

  /** The host is another boot of itself, as far as this mount namespace can see. */
  async #pretendBoot(): Promise<void> {
    const file = join(this.#bed.scratch, 'boot-id');
    const real = '/proc/sys/kernel/random/boot_id';
    const isFirst = this.#bootId === '';
    this.#bootId = crypto.randomUUID();
    await writeFile(file, `${this.#bootId}\n`);
    if (!isFirst) return;
    await run('mount', ['--bind', file, real]);
    this.#bed.atEnd(async () => {
      await run('umount', [real]);
    });
  }
}
