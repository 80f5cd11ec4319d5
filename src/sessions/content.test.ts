/** Content meta-data end to end: a served directory that has it, a proxy with a cache, a restart while the origin is away. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../origins/mod.ts';
import { callBy, LogLines, makeContent, ok, patternBytes, stampOfFile } from '../testing/mod.ts';
import { credential, type FileHandle } from '../vfs/mod.ts';
import { HintsFile } from './hints-file.ts';
import { defaultAttributes, type SessionPlan } from './plan.ts';
import { startSession } from './session.ts';

const MiB = 1024 * 1024;
const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);
const common = {
  ...{ allow: [] as string[], squash: 'none' as const, connections: 2, attributes: defaultAttributes },
  writes: 'write-through' as const,
  ...{ listen: { host: '127.0.0.1', port: 0 }, readAheadBytes: 8 * MiB },
};

/** One that is free now: what is known of files is kept for sessions with an address of their own. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Three quarters zero. */
function image(seed: number): Buffer {
  const bytes = Buffer.alloc(8 * MiB);
  for (let offset = 0; offset < bytes.length; offset += MiB) {
    patternBytes(seed, offset, MiB / 4).copy(bytes, offset + MiB / 2);
  }
  return bytes;
}

class Site {
  readonly scratch = mkdtempSync(join(tmpdir(), 'viaduct-content-'));
  readonly images = join(this.scratch, 'images');
  readonly #open: (() => Promise<unknown>)[] = [];

  constructor(t: TestContext) {
    mkdirSync(join(this.images, '.viaduct'), { recursive: true });
    t.after(async () => {
      for (const close of this.#open.toReversed()) await close();
      rmSync(this.scratch, { recursive: true, force: true });
    });
  }

  async put(name: string, bytes: Buffer): Promise<void> {
    const path = join(this.images, name);
    writeFileSync(path, bytes);
    const { meta, pack } = await makeContent(bytes, stampOfFile(path));
    writeFileSync(join(this.images, '.viaduct', `${name}.meta`), meta);
    writeFileSync(join(this.images, '.viaduct', `${name}.pack`), pack);
  }

  async serve() {
    const plan: SessionPlan = {
      ...common,
      kind: 'serve',
      origin: this.images,
      stateDirectory: join(this.scratch, 'server'),
    };
    const server = await startSession(plan, tools);
    this.#open.push(() => server.close());
    return { server, port: (await server.ready).port };
  }

  async proxy(serverPort: number, change: Partial<SessionPlan> = {}, onWorker?: (worker: Worker) => void) {
    const plan: SessionPlan = {
      ...common,
      kind: 'proxy',
      origin: `nfs://127.0.0.1:${serverPort}/?mountport=${serverPort}`,
      stateDirectory: join(this.scratch, 'proxy'),
      cache: {
        directory: join(this.scratch, 'cache'),
        sizeBytes: 64 * MiB,
      },
      ...change,
    };
    const session = await startSession(plan, { ...tools, onWorker });
    this.#open.push(() => session.close());
    return { session, port: (await session.ready).port };
  }

  async client(port: number): Promise<NfsOrigin> {
    const address = { kind: 'nfs', host: '127.0.0.1', path: '/', port, mountPort: port } as const;
    const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
    this.#open.push(() => client.close());
    return client;
  }
}

async function readAll(client: NfsOrigin, name: string): Promise<{ object: FileHandle; bytes: Buffer }> {
  const { object } = ok(await client.lookup(call, { directory: client.root, name }));
  const parts: Uint8Array[] = [];
  for (let offset = 0; ; offset += MiB) {
    const reply = ok(await client.read(call, { object, offset, count: MiB }));
    parts.push(Buffer.concat(reply.data as Uint8Array[]));
    reply.release?.();
    if (reply.eof) return { object, bytes: Buffer.concat(parts) };
  }
}

interface Counters {
  readonly zeroBytes: number;
  readonly plainBytes: number;
  readonly packBytes: number;
  readonly dedupeBytes: number;
  readonly files: number;
}

test('a proxy reads packs, finds what the host has, and remembers over a restart, also while the origin is away', async (t) => {
  const site = new Site(t);
  const [disk, other] = [image(1), image(2)];
  disk.copy(other, 0, 0, 4 * MiB);
  await site.put('disk', disk);
  await site.put('other', other);
  const { server, port: serverPort } = await site.serve();
  const workers: Worker[] = [];
  const listen = { host: '127.0.0.1', port: await freePort() };
  const { session, port } = await site.proxy(serverPort, { listen }, (worker) => workers.push(worker));
  const counters = async () => (await session.stats()).data?.layers.content as Counters;
  const client = await site.client(port);
  assert.ok((await readAll(client, 'disk')).bytes.equals(disk));
  const first = await counters();
  assert.equal(first.files, 1);
  assert.equal(first.plainBytes, 0);
  assert.ok(first.zeroBytes >= 4 * MiB && first.packBytes > MiB, JSON.stringify(first));

  // What is known of files in use is kept each second; where chunks lie, at the end.
  await sleep(systemClock, 1_500);
  await workers.splice(0)[0]!.terminate();
  for (let tries = 0; tries < 100 && (await session.stats()).state !== 'running'; tries++) await sleep(systemClock, 50);
  assert.ok((await readAll(client, 'disk')).bytes.equals(disk));
  const again = await counters();
  assert.equal(again.packBytes + again.plainBytes, 0);
  await session.close();
  assert.ok(existsSync(join(site.scratch, 'cache/hints')));

  const second = await site.proxy(serverPort, { listen });
  assert.ok((await readAll(client, 'other')).bytes.equals(other));
  const shared = (await second.session.stats()).data?.layers.content as Counters;
  assert.ok(shared.dedupeBytes >= 0.9 * MiB, JSON.stringify(shared));
  assert.ok(shared.packBytes <= 1.2 * MiB, JSON.stringify(shared));

  await sleep(systemClock, 1_500);
  await second.session.close();
  await server.close();
  await site.proxy(serverPort, { listen });
  assert.ok((await readAll(client, 'other')).bytes.equals(other), 'zeros as well, with nobody to ask');
});

test('without content, files are read as they are', async (t) => {
  const site = new Site(t);
  const disk = image(3);
  await site.put('disk', disk);
  const { port: serverPort } = await site.serve();
  const { session, port } = await site.proxy(serverPort, { content: false });
  assert.ok((await readAll(await site.client(port), 'disk')).bytes.equals(disk));
  assert.equal((await session.stats()).data?.layers.content, undefined);
});

test('where chunks lie is kept when there is something new, and damage of it costs nothing', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-hints-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'hints');
  const log = new LogLines();
  let version = 0;
  const open = () => new HintsFile({ directory, cacheBytes: MiB, clock: systemClock, log, version: () => version });
  open().close();
  assert.equal(existsSync(path), false);
  const digest = Buffer.alloc(16, 7);
  const one = open();
  one.index.add(digest, 'a file', 5);
  version++;
  one.close();
  const two = open();
  assert.deepEqual(two.index.find(digest), [{ key: 'a file', sector: 5 }]);
  two.close();
  const bytes = readFileSync(path);
  bytes[bytes.length - 3]! ^= 1;
  writeFileSync(path, bytes);
  const three = open();
  assert.deepEqual(three.index.find(digest), []);
  assert.equal(log.warnings.length, 1);
  three.close();
});
