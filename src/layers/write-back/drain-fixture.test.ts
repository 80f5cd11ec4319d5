/** What tests of the drain share: the real log on a simulated disk, a memory file system as the origin, and a model of what may be there. */
import assert from 'node:assert/strict';
import { seededRandom } from '../../base/mod.ts';
import { DirtyLog } from '../../dirty/mod.ts';
import { callBy, FaultLayer, KeptLog, MemoryFilesystem, ok, SimulatedClock, SimulatedDisk } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { Stability } from '../stability.ts';
import type { ConflictDirectory } from './conflict-directory.ts';
import type { DrainContext, DrainOptions, LeaseState } from './contract.ts';
import { Drain } from './drain.ts';
import { DirtyFileTable } from './files.ts';

export const root = vfs.credential(0, 0);
export const alice = vfs.credential(1001, 1001);
export const sector = 4096;
const identity = 'drain-test';

export interface WorldOptions extends Partial<DrainOptions> {
  readonly memory?: ConstructorParameters<typeof MemoryFilesystem>[0];
  readonly limitBytes?: number;
  readonly conflicts?: ConflictDirectory;
  readonly conditional?: boolean;
  readonly chunks?: vfs.ChunkHolder;
  /** Calls that were carried out twice. */
  readonly restarts?: () => number;
}

/** One origin that outlives proxies; one proxy at a time. */
export class World {
  readonly clock = new SimulatedClock();
  readonly memory: MemoryFilesystem;
  /** What happens at the origin itself. */
  readonly origin: FaultLayer;
  readonly lines = new KeptLog();
  readonly options: WorldOptions;
  lease: LeaseState = { state: 'none' };
  lostMs: number | undefined;
  disk: SimulatedDisk;
  proxy!: ProxyLife;

  private constructor(options: WorldOptions) {
    this.options = options;
    this.memory = new MemoryFilesystem({
      clock: this.clock,
      volatile: true,
      root: { mode: 0o777, uid: 0, gid: 0 },
      ...options.memory,
    });
    this.origin = new FaultLayer(this.memory);
    this.disk = new SimulatedDisk({ clock: this.clock, random: seededRandom(11) });
  }

  static async start(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    world.proxy = await world.boot();
    return world;
  }

  /** Opens the log again and begins to drain, as the next process does. */
  async boot(bootId = 'boot'): Promise<ProxyLife> {
    const { clock, options, disk } = this;
    let wake = (): void => undefined;
    const opening = DirtyLog.open({
      directory: disk,
      identity,
      limitBytes: options.limitBytes ?? 256 * 1024 * 1024,
      bootId,
      keeps: false,
      clock,
      log: this.lines,
      random: seededRandom(3),
      onPressure: () => wake(),
    });
    const log = await this.until(opening);
    const proxy = new ProxyLife(this, log);
    wake = () => proxy.drain.wake();
    this.proxy = proxy;
    return proxy;
  }

  /** The process dies; what it still asks of disk and origin has no effect and no answer. */
  async crash(kind: 'kill' | 'power'): Promise<void> {
    this.proxy.isDead = true;
    this.disk = this.disk.crash(kind);
    await this.boot(kind === 'kill' ? 'boot' : `boot after ${this.clock.now()}`);
  }

  /** Lets simulated time pass until the promise is settled. */
  async until<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let settled = false;
    const done = promise.then(
      (value) => {
        settled = true;
        return value;
      },
      (error: unknown) => {
        settled = true;
        throw error;
      },
    );
    done.catch(() => undefined);
    const untilMs = this.clock.now() + limitMs;
    for (let stepMs = 1; !settled; stepMs = Math.min(2 * stepMs, 100)) {
      if (this.clock.now() > untilMs) throw new Error(`nothing within ${limitMs} ms of simulated time`);
      await this.clock.advance(stepMs);
    }
    return done;
  }

  make(name: string, bytes: Uint8Array = new Uint8Array(0), owner = alice): string {
    const call = callBy(root);
    const where = { directory: this.memory.root, name };
    const set = { mode: 0o644, uid: owner.uid, gid: owner.gid };
    const object = ok(this.memory.create(call, { where, how: { mode: 'guarded', set } })).object!;
    if (bytes.length > 0) this.foreignWrite(object, 0, bytes);
    return object;
  }

  /** Another host writes. */
  foreignWrite(object: string, offset: number, bytes: Uint8Array): void {
    const args = { object, offset, count: bytes.length, stable: vfs.Stability.FILE_SYNC, data: [bytes] };
    ok(this.memory.write(callBy(root), args));
  }

  content(object: string): Buffer {
    const parts: Uint8Array[] = [];
    for (let offset = 0, isEnd = false; !isEnd; offset += 1 << 20) {
      const reply = ok(this.memory.read(callBy(root), { object, offset, count: 1 << 20 }));
      assert.ok(reply.status === 0);
      parts.push(...reply.data);
      isEnd = reply.eof;
    }
    return Buffer.concat(parts);
  }

  find(name: string): string | undefined {
    const found = this.memory.lookup(callBy(root), { directory: this.memory.root, name });
    return found.status === 0 ? found.object : undefined;
  }

  names(): string[] {
    const args = {
      directory: this.memory.root,
      cookie: 0n,
      cookieVerifier: '\0'.repeat(8),
      directoryBytes: 65_536,
      replyBytes: 65_536,
    };
    return ok(this.memory.readdir(callBy(root), args))
      .entries.map(({ name }) => name)
      .filter((name) => !name.startsWith('.'));
  }

  attributes(object: string): vfs.Attributes {
    return ok(this.memory.getattr(callBy(root), { object })).attributes;
  }
}

/** One life of the proxy: what stands between the log and the origin. */
export class ProxyLife {
  readonly log: DirtyLog;
  readonly files: DirtyFileTable;
  readonly drain: Drain;
  readonly settled: string[] = [];
  isDead = false;
  readonly #world: World;

  constructor(world: World, log: DirtyLog) {
    this.#world = world;
    this.log = log;
    this.files = new DirtyFileTable(log);
    const { clock, lines, options } = world;
    const gate = new Barrier(world.origin, () => this.isDead);
    const next = new Stability(gate, { clock, log: lines, random: seededRandom(7) });
    const context: DrainContext = {
      log,
      files: this.files,
      next,
      origin: {
        fresh: gate,
        chunks: options.chunks,
        conditionalWrites: () => options.conditional ?? false,
        restarts: () => next.stats().originRestarts + (options.restarts?.() ?? 0),
        lostMs: () => world.lostMs,
        lease: () => world.lease,
      },
      settled: (handle, { size, mtime, ctime }) => {
        this.settled.push(handle);
        this.files.settled(this.files.opened(handle), { size, mtime, ctime });
      },
    };
    this.drain = new Drain(context, {
      clock,
      logger: lines,
      random: seededRandom(5),
      options: {
        writeBackAfterMs: 5_000,
        rateBytesPerSecond: undefined,
        isManual: false,
        conflictDirectory: undefined,
        hostName: 'host',
        ...options,
      },
      conflicts: options.conflicts,
    });
  }

  /** As the front does it. */
  write(object: string, offset: number, data: Uint8Array, who = alice): Promise<void> {
    const record = this.#open(object);
    const size = this.log.state(record.number)?.size ?? record.base!.size;
    return this.#append(
      this.log.write({
        file: record.number,
        writer: this.files.writer(who),
        offset,
        count: data.length,
        data: [data],
        sizeAfter: Math.max(size, offset + data.length),
        time: this.#time(),
      }),
    );
  }

  resize(object: string, sizeAfter: number): Promise<void> {
    const record = this.#open(object);
    return this.#append(
      this.log.resize({ file: record.number, writer: this.files.writer(alice), sizeAfter, time: this.#time() }),
    );
  }

  /** Closes the epoch, as a COMMIT does. */
  commit(): Promise<void> {
    return this.#world.until(this.log.stabilize());
  }

  /** All to the origin, now. */
  flush(): Promise<Awaited<ReturnType<Drain['request']>>> {
    this.log.seal();
    return this.#world.until(this.drain.request());
  }

  #open(object: string) {
    const record = this.files.open(object);
    if (record.base !== undefined) return record;
    const { size, mtime, ctime } = this.#world.attributes(object);
    const name = this.#world.names().find((candidate) => this.#world.find(candidate) === object)!;
    const place = { directory: this.#world.memory.root, name };
    return this.files.update(object, { base: { size, mtime, ctime }, place });
  }

  #time(): vfs.Time {
    const ms = this.#world.clock.wallTimeMs();
    return { seconds: Math.floor(ms / 1000), nanoseconds: Math.floor((ms % 1000) * 1e6) };
  }

  async #append(appended: ReturnType<DirtyLog['write']>): Promise<void> {
    this.drain.wake();
    assert.equal(appended instanceof Promise ? await this.#world.until(appended) : appended, 'appended');
  }
}

/** Calls of a dead process do not reach the origin, answers do not reach the process. */
class Barrier extends FaultLayer {
  readonly #isDead: () => boolean;

  constructor(next: vfs.Filesystem, isDead: () => boolean) {
    super(next);
    this.#isDead = isDead;
  }

  protected override async intercept<R>(
    operation: vfs.OperationName,
    call: vfs.Call,
    args: unknown,
    proceed: () => R | Promise<R>,
  ): Promise<R> {
    if (this.#isDead()) return new Promise(() => undefined);
    const reply = await super.intercept(operation, call, args, proceed);
    return this.#isDead() ? new Promise(() => undefined) : reply;
  }
}

/** Equal, or an error that does not print them. */
export function sameBytes(actual: Buffer, expected: Buffer): void {
  if (actual.equals(expected)) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assert.fail(`${actual.length} bytes, expected ${expected.length}; they differ at ${at}`);
}

/** A sector that says which epoch wrote it. */
export function stamp(epoch: number, serial = 0): Buffer {
  const bytes = Buffer.alloc(sector, epoch);
  bytes.writeUInt32BE(epoch, 0);
  bytes.writeUInt32BE(serial, 4);
  return bytes;
}

/**
 * What the origin may show at any moment: all epochs up to some k, and any part of k + 1. Told of each write of a whole
 * sector in its order; an epoch writes a sector at most once.
 */
export class EpochModel {
  epoch = 1;
  /** By file and sector: the epochs that wrote it, ascending. */
  readonly #versions = new Map<string, Map<number, number[]>>();

  wrote(object: string, index: number): void {
    const sectors = this.#versions.get(object) ?? new Map<number, number[]>();
    this.#versions.set(object, sectors);
    const epochs = sectors.get(index) ?? [];
    sectors.set(index, epochs);
    if (epochs.at(-1) !== this.epoch) epochs.push(this.epoch);
  }

  check(world: World): void {
    let newest = 0;
    const shown: { object: string; index: number; epoch: number }[] = [];
    for (const [object, sectors] of this.#versions) {
      const content = world.content(object);
      for (const index of sectors.keys()) {
        const at = index * sector;
        const epoch = content.length >= at + 4 ? content.readUInt32BE(at) : 0;
        shown.push({ object, index, epoch });
        newest = Math.max(newest, epoch);
      }
    }
    for (const { object, index, epoch } of shown) {
      const epochs = this.#versions.get(object)!.get(index)!;
      const expected = epochs.findLast((candidate) => candidate < newest) ?? 0;
      assert.ok(
        epoch === expected || epoch === newest,
        `sector ${index} shows epoch ${epoch} while another shows ${newest}; it was written in ${epochs.join(', ')}`,
      );
    }
  }
}

/** The process dies when it has made so many calls from now on (or when the drain comes to its end), and starts again. */
export async function dieAtCall(world: World, step: number, kind: 'kill' | 'power'): Promise<boolean> {
  let calls = 0;
  const off: (() => void)[] = [];
  const proxy = world.proxy;
  for (const operation of ['getattr', 'setattr', 'write', 'create', 'lookup', 'commit'] as const) {
    const hook = async (_args: unknown, proceed: () => unknown) => {
      const isLast = ++calls === step;
      // Every other time the origin does it, and the answer is lost.
      if (isLast && step % 2 === 0) proxy.isDead = true;
      const reply = isLast && step % 2 === 1 ? undefined : await proceed();
      if (isLast) proxy.isDead = true;
      return reply;
    };
    off.push(world.origin.on(operation, hook as never));
  }
  world.proxy.log.seal();
  const request = world.proxy.drain.request();
  request.catch(() => undefined);
  let ended = false;
  void request.then(() => {
    ended = true;
  });
  for (let i = 0; i < 2_000 && !ended && !proxy.isDead; i++) await world.clock.advance(2);
  for (const remove of off) remove();
  const died = proxy.isDead;
  await world.crash(kind);
  return died;
}
