/**
 * Viaducts in a row, as real processes: a served directory, a proxy in the LAN of many hosts, the hosts' own proxies.
 *
 *     host ┐
 *     ...  ├──► LAN proxy ──► link (counts) ──► viaduct serve
 *     host ┘
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../src/base/mod.ts';
import { findLauncher, type RunningCommand, startCommand } from '../src/demo/mod.ts';
import { type LinkProcess, startLinkProcess } from '../src/link/mod.ts';
import { mountClient } from '../src/mount3/mod.ts';
import { openNfs3Client } from '../src/nfs3/mod.ts';
import { RpcClient } from '../src/rpc/mod.ts';
import { defaultAttributes, type RunningSession, startSession } from '../src/sessions/mod.ts';
import { type Call, credential, type Filesystem } from '../src/vfs/mod.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { attempt, run, scratchFolder, until } from './support/programs.ts';
import { Client } from './write-back/client.ts';
import { assertVersions, blockBytes, blockContent, fileContent } from './write-back/content.ts';

enterPrivateNetwork(import.meta.filename);

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const call: Call = { credential: credential(0, 0), peer: 'test', priority: 'demand' };
const MiB = 1024 * 1024;
const never = new AbortController().signal;
const server = { host: '127.0.0.2', port: 20_490 };
const wan = { host: '127.0.0.4', port: 20_491 };
const near = { host: '127.0.0.5', port: 20_492 };
const host = { host: '127.0.0.6', port: 20_493 };
const hosts = 8;
const blocks = 256;

type Place = typeof server;

function originAt({ host: name, port }: Place): string {
  return `nfs://${name}:${port}/?mountport=${port}`;
}

function clientUrl({ host: name, port }: Place): string {
  return `nfs://${name}:${port}/?nfsport=${port}&mountport=${port}`;
}

interface Site {
  readonly scratch: string;
  readonly exported: string;
  readonly link: LinkProcess;
  /** A proxy; what it keeps is found again by its name. */
  proxy(name: string, origin: Place, listen: Place, more?: readonly string[]): Promise<RunningCommand>;
  atEnd(close: () => Promise<unknown>): void;
  wanBytes(): Promise<number>;
}

async function site(t: TestContext, fill: (exported: string) => Promise<void>): Promise<Site> {
  const { path: scratch, remove } = await scratchFolder('chain');
  const closers: (() => Promise<unknown>)[] = [remove];
  t.after(async () => {
    for (const close of closers.toReversed()) await close();
  });
  // What others left on this machine is not the matter of `viaduct status` here.
  process.env.VIADUCT_STATE_DIR = join(scratch, 'notes');
  const exported = join(scratch, 'exported');
  await mkdir(exported);
  await fill(exported);
  const link = await startLinkProcess({ routes: [{ listen: wan, target: server }], roundTripMs: 10 });
  closers.push(() => link.close());
  const start = async (args: readonly string[]): Promise<RunningCommand> => {
    const command = await startCommand(args, { signal: never, timeoutMs: 60_000 });
    closers.push(() => kill(command));
    return command;
  };
  const state = (name: string): string[] => ['--state-directory', join(scratch, `${name}.state`)];
  await start(['serve', exported, '--listen', `${server.host}:${server.port}`, ...state('server')]);
  return {
    ...{ scratch, exported, link },
    proxy: (name, origin, listen, more = []) => {
      const cache = ['--cache', join(scratch, `${name}.cache`), '--cache-size', '64M'];
      const place = ['--listen', `${listen.host}:${listen.port}`];
      return start(['proxy', originAt(origin), ...place, ...cache, ...state(name), ...more]);
    },
    atEnd: (close) => closers.push(close),
    wanBytes: async () => (await link.counters()).backwardBytes,
  };
}

async function kill({ child }: RunningCommand): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** A host's proxy, in a worker of this process. */
async function reader(bed: Site, name: string): Promise<Reader> {
  const state = join(bed.scratch, name);
  const session = await startSession(
    {
      ...{ kind: 'proxy', origin: originAt(near), stateDirectory: state, listen: { host: '127.0.0.1', port: 0 } },
      ...{ allow: [], writes: 'write-through', squash: 'none', connections: 4, attributes: defaultAttributes },
      ...{ cache: { directory: join(state, 'cache'), sizeBytes: 64 * MiB }, readAheadBytes: 8 * MiB },
    },
    tools,
  );
  bed.atEnd(() => session.close());
  const { port } = await session.ready;
  // An ordinary client: to one that says hello the proxy would leave the meta-data.
  const caller = new RpcClient({ host: '127.0.0.1', port, ...tools });
  bed.atEnd(() => caller.close());
  const mounted = await mountClient.mnt(caller, '/', { credential: call.credential, deadlineMs: 10_000 });
  assert.ok(mounted.status === 0);
  const client = await openNfs3Client({ caller, root: mounted.object, identity: name, ...tools }, call.credential);
  return { client, session };
}

interface Reader {
  readonly client: Filesystem;
  readonly session: RunningSession;
}

async function readWhole({ client }: Reader, name: string, bytes: number): Promise<Buffer> {
  const found = await client.lookup(call, { directory: client.root, name });
  assert.ok(found.status === 0);
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < bytes; ) {
    const reply = await client.read(call, { object: found.object, offset, count: MiB / 2 });
    assert.ok(reply.status === 0 && reply.count > 0);
    parts.push(...reply.data.map((slice) => Buffer.from(slice)));
    reply.release?.();
    offset += reply.count;
  }
  return Buffer.concat(parts);
}

test('what eight hosts ask for at the same moment crosses the WAN once, as it is or as a pack; later hosts cost nothing', async (t) => {
  const bytes = 8 * MiB;
  const plain = randomBytes(bytes);
  // Half zeros, half data, some of it twice.
  const packed = Buffer.concat([Buffer.alloc(4 * MiB), randomBytes(2 * MiB), Buffer.alloc(2 * MiB)]);
  packed.copy(packed, 6 * MiB, 4 * MiB, 5 * MiB);
  const bed = await site(t, async (exported) => {
    const old = new Date(Date.now() - 60_000);
    for (const [name, content] of [
      ['plain', plain],
      ['packed', packed],
    ] as const) {
      await writeFile(join(exported, name), content);
      await utimes(join(exported, name), old, old);
    }
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    await run(findLauncher(), ['image', 'pack', join(exported, 'packed')]);
  });
  await bed.proxy('near', wan, near);
  const clients = await Promise.all(Array.from({ length: hosts }, (_, i) => reader(bed, `host${i}`)));
  const sizeOf = async (name: string): Promise<number> => (await stat(join(bed.exported, '.viaduct', name))).size;
  const stored = (await sizeOf('packed.pack')) + (await sizeOf('packed.meta'));
  assert.ok(stored < 2.2 * MiB, `the pack has ${stored} bytes`);
  for (const [name, content, most] of [
    ['plain', plain, bytes],
    ['packed', packed, stored],
  ] as const) {
    const before = await bed.wanBytes();
    const all = await Promise.all(clients.map((client) => readWhole(client, name, bytes)));
    for (const found of all) assert.ok(found.equals(content), `${name} is another file`);
    const crossed = (await bed.wanBytes()) - before;
    assert.ok(crossed < 1.05 * most + MiB / 4, `${crossed} bytes of ${name} crossed for ${most}`);
    assert.ok(crossed > most / 2);
  }
  const late = await reader(bed, 'late');
  const before = await bed.wanBytes();
  assert.ok((await readWhole(late, 'plain', bytes)).equals(plain));
  assert.ok((await readWhole(late, 'packed', bytes)).equals(packed));
  const crossed = (await bed.wanBytes()) - before;
  assert.ok(crossed < MiB / 16, `${crossed} bytes crossed for a host whose neighbours had everything`);
});

interface Writer {
  readonly bed: Site;
  readonly near: RunningCommand;
  readonly host: RunningCommand;
  readonly client: Client;
  readonly versions: number[];
  write(block: number): Promise<void>;
  /** What the origin has on its disk. */
  image(): Promise<Buffer>;
  startNear(): Promise<void>;
  startHost(): Promise<void>;
}

const kept = (bed: Site, name: string, commit: string): string[] => {
  const log = ['--policy', 'write-back', '--dirty-log', join(bed.scratch, `${name}.log`), '--dirty-limit', '64M'];
  return [...log, '--commit', commit];
};

/** `after`: of the LAN proxy's own write-back. */
async function writer(t: TestContext, commit: string, after: string): Promise<Writer> {
  const bed = await site(t, (exported) => writeFile(join(exported, 'image'), fileContent(blocks, 1)));
  const age = after.endsWith('h') ? ['--dirty-age', '24h'] : [];
  const late = (name: string, place: string): string[] => [...kept(bed, name, place), '--write-back-after', after];
  const startNear = () => bed.proxy('near', wan, near, [...late('near', 'local'), ...age]);
  const own = commit === 'local' ? [...late('host', commit), ...age] : kept(bed, 'host', commit);
  const startHost = () => bed.proxy('host', near, host, own);
  const made = { near: await startNear(), host: await startHost() };
  const client = await Client.open(clientUrl(host));
  bed.atEnd(() => client.close());
  const versions = new Array<number>(blocks).fill(1);
  const file = await client.file('image');
  return {
    get near() {
      return made.near;
    },
    get host() {
      return made.host;
    },
    ...{ bed, client, versions },
    async write(block) {
      versions[block]!++;
      await file.write(block * blockBytes, blockContent(block, versions[block]!));
    },
    image: () => readFile(join(bed.exported, 'image')),
    async startNear() {
      made.near = await startNear();
    },
    async startHost() {
      made.host = await startHost();
    },
  };
}

async function writeBack(command: RunningCommand): Promise<void> {
  const args = ['writeback', '--wait', '--json', '--pid', String(command.child.pid)];
  const outcome = await attempt(findLauncher(), args, 60_000);
  assert.equal(outcome.code, 0, `${outcome.stdout}${outcome.stderr}`);
}

interface Told {
  readonly everythingAtOrigin: boolean;
  readonly processes: readonly {
    readonly pid: number;
    readonly sessions: readonly {
      readonly data: {
        readonly writeBack: { readonly pendingBytes: number };
        readonly chain?: { readonly isAtOrigin: boolean; readonly hops: readonly { readonly pendingBytes: number }[] };
      };
    }[];
  }[];
}

async function told(): Promise<Told> {
  return JSON.parse((await run(findLauncher(), ['status', '--json'])).toString()) as Told;
}

async function dataOf({ child }: RunningCommand): Promise<Told['processes'][number]['sessions'][number]['data']> {
  return (await told()).processes.find(({ pid }) => pid === child.pid)!.sessions[0]!.data;
}

test('the LAN proxy is killed amid write-back, again and again, and nothing is lost', async (t) => {
  const made = await writer(t, 'local', '100ms');
  const file = await made.client.file('image');
  for (let round = 0; round < 3; round++) {
    for (let block = round; block < blocks; block += 2) await made.write(block);
    await file.commit();
    await new Promise((resolve) => setTimeout(resolve, 250 + 200 * round));
    await kill(made.near);
    for (let block = 0; block < 40; block++) await made.write(block);
    await made.startNear();
  }
  await file.commit();
  await writeBack(made.host);
  assertVersions(await made.image(), made.versions);
  const { everythingAtOrigin } = await told();
  assert.equal(everythingAtOrigin, true);
});

test('commit local, next and origin: what each has promised is there when the hops before it are dead', async (t) => {
  await t.test('local: on the host’s disk', async (s) => {
    const made = await writer(s, 'local', '1h');
    for (let block = 0; block < 20; block++) await made.write(block);
    await (await made.client.file('image')).commit();
    assert.ok((await dataOf(made.host)).writeBack.pendingBytes >= 20 * blockBytes);
    assert.equal((await dataOf(made.near)).writeBack.pendingBytes, 0);
    assertVersions(await made.image(), new Array<number>(blocks).fill(1));
    await kill(made.host);
    await kill(made.near);
    await made.startNear();
    await made.startHost();
    await writeBack(made.host);
    assertVersions(await made.image(), made.versions);
  });
  await t.test('next: on the LAN proxy’s disk, without the host', async (s) => {
    const made = await writer(s, 'next', '1h');
    for (let block = 0; block < 20; block++) await made.write(block);
    await (await made.client.file('image')).commit();
    const { chain, writeBack: own } = await dataOf(made.host);
    assert.equal(own.pendingBytes, 0);
    assert.equal(chain?.isAtOrigin, false);
    assert.equal(chain?.hops[0]?.pendingBytes, 20 * blockBytes);
    assert.equal((await told()).everythingAtOrigin, false);
    const text = (await run(findLauncher(), ['status'])).toString();
    assert.match(text, /not at the origin yet/);
    assertVersions(await made.image(), new Array<number>(blocks).fill(1));
    await kill(made.host);
    await kill(made.near);
    await made.startNear();
    await writeBack(made.near);
    assertVersions(await made.image(), made.versions);
  });
  await t.test('origin: at the origin, with nobody left', async (s) => {
    const made = await writer(s, 'origin', '1h');
    for (let block = 0; block < 20; block++) await made.write(block);
    await (await made.client.file('image')).commit();
    await kill(made.host);
    await kill(made.near);
    assertVersions(await made.image(), made.versions);
  });
});

test('the WAN is cut between the LAN proxy and the origin: hosts go on, the status says so, and all comes by itself', async (t) => {
  const made = await writer(t, 'next', '100ms');
  const file = await made.client.file('image');
  await made.write(0);
  await file.commit();
  await made.bed.link.cut();
  for (let block = 0; block < 50; block++) await made.write(block);
  await file.commit();
  const { chain } = await dataOf(made.host);
  assert.equal(chain?.isAtOrigin, false);
  await made.bed.link.restore();
  await until('all is at the origin', async () => (await told()).everythingAtOrigin, 60_000);
  assertVersions(await made.image(), made.versions);
});
