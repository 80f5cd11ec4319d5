/**
 * An origin that dies, hangs, comes back, or comes back as another one, under a live `proxy`: cached reads go on, everything else
 * is withheld and done later, never answered wrongly; and the proxy itself can always be ended.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog, systemClock } from '../src/base/mod.ts';
import { type Link, startLink } from '../src/link/mod.ts';
import { Status, statusName } from '../src/vfs/mod.ts';
import {
  type Client,
  call,
  handleOf,
  type Live,
  originOf,
  Place,
  readFile,
  statusOf,
  within,
} from './bad-input/live.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { stop } from './support/programs.ts';

enterPrivateNetwork(import.meta.filename);

const place = new Place('bad-origin');
const content = randomBytes(400_000);
/** Attributes are believed for 3 s at first: one outage is over before, others outlive them. */
const shortOutageMs = 1_500;
const longOutageMs = 5_500;
/** How long the origin may be silent before it is taken to be away, and then some. */
const pauseMs = 2_500;
let ports = 20_049;

after(() => place.remove());

interface Scene {
  readonly directory: string;
  readonly listen: string;
  readonly serve: Live;
  readonly proxy: Live;
  readonly client: Client;
  readonly link: Link;
}

/** An origin with `warm`, which was read, and `cold`, which was not. */
async function scene(name: string, behindLink = false): Promise<Scene> {
  const directory = place.directory(name);
  writeFileSync(`${directory}/warm`, content);
  writeFileSync(`${directory}/cold`, content);
  const listen = `127.0.0.1:${ports++}`;
  const serve = await place.serve(directory, listen);
  const { host, port } = serve;
  const routes = [{ listen: { host, port: 0 }, target: { host, port } }];
  const link = await startLink({ routes, roundTripMs: 1, clock: systemClock, log: silentLog });
  place.keep(() => link.close());
  const proxy = await place.proxy(behindLink ? { ...serve, ...link.addresses[0]! } : serve, place.at(`cache-${name}`));
  const client = await place.mount(proxy);
  assert.ok((await readFile(client, await handleOf(client, 'warm'))).equals(content));
  return { directory, listen, serve, proxy, client, link };
}

async function finish({ client, proxy, serve, link }: Scene): Promise<void> {
  await client.close();
  assert.equal((await proxy.command.end()).code, 0);
  await serve.command.end('SIGKILL');
  await link.close();
}

/** Reads what is cached for as long as the outage is tested. One read may take longer: the one that finds out. */
async function cachedReadsGoOn({ client }: Scene, warm: string, outageMs: number, pauses = 0): Promise<void> {
  const until = performance.now() + outageMs;
  let slow = 0;
  while (performance.now() < until) {
    const started = performance.now();
    const limitMs = slow < pauses ? pauseMs : 1_000;
    const bytes = await within(limitMs, 'a cached read during the outage', readFile(client, warm));
    assert.ok(bytes.equals(content));
    if (performance.now() - started > 900) slow++;
    await sleep(200);
  }
}

describe('an origin', () => {
  it('that is killed under reads and writes: cached reads go on, the rest waits and is done when it is back', async () => {
    const stage = await scene('dies');
    const { client, directory, listen } = stage;
    const [warm, cold] = [await handleOf(client, 'warm'), await handleOf(client, 'cold')];
    await stage.serve.command.end('SIGKILL');
    let settled = 0;
    const coldRead = readFile(client, cold).finally(() => settled++);
    const patch = randomBytes(4096);
    const write = client.filesystem
      .write(call, { object: cold, offset: 0, count: patch.length, stable: 2, data: [patch] })
      .finally(() => settled++);
    const where = { directory: client.root, name: 'made' };
    const create = client.filesystem
      .create(call, { where, how: { mode: 'guarded', set: { mode: 0o600 } } })
      .finally(() => settled++);
    await cachedReadsGoOn(stage, warm, shortOutageMs);
    assert.equal(settled, 0, 'what the origin must do is withheld');
    const again = await place.serve(directory, listen);
    const read = await within(15_000, 'the read after the outage', coldRead);
    assert.ok(read.subarray(4096).equals(content.subarray(4096)));
    assert.equal((await within(15_000, 'the write after the outage', write)).status, 0);
    assert.equal((await within(15_000, 'the CREATE after the outage', create)).status, 0);
    assert.ok(readFileSync(`${directory}/cold`).subarray(0, 4096).equals(patch));
    assert.ok((await readFile(client, cold)).subarray(0, 4096).equals(patch));
    assert.equal((await statusOf(place, stage.proxy)).restarts, 0);
    await finish({ ...stage, serve: again });
  });

  it('that hangs: cached reads go on, the rest waits, and goes on when it does', async () => {
    const stage = await scene('hangs');
    const { client, serve } = stage;
    const [warm, cold] = [await handleOf(client, 'warm'), await handleOf(client, 'cold')];
    await stop(serve.command.pid);
    const coldRead = readFile(client, cold);
    try {
      await cachedReadsGoOn(stage, warm, shortOutageMs);
    } finally {
      process.kill(serve.command.pid, 'SIGCONT');
    }
    assert.ok((await within(20_000, 'the read after the pause', coldRead)).equals(content));
    await finish(stage);
  });

  for (const cause of ['SIGSTOP', 'SIGKILL', 'cut link'] as const)
    it(`that is away (${cause}) for longer than attributes are believed: cached reads go on, a change is seen afterwards`, async () => {
      const stage = await scene(`long-${cause}`, cause === 'cut link');
      const { client, directory, listen, proxy, link } = stage;
      let { serve } = stage;
      const [warm, cold] = [await handleOf(client, 'warm'), await handleOf(client, 'cold')];
      const changed = randomBytes(400_000);
      const { pid } = serve.command;
      if (cause === 'SIGKILL') await serve.command.end(cause);
      else if (cause === 'SIGSTOP') await stop(pid);
      else link.cut();
      let settled = 0;
      const looked = Promise.resolve(client.filesystem.lookup(call, { directory: client.root, name: 'missing' }));
      const held = [looked.finally(() => settled++), readFile(client, cold).finally(() => settled++)];
      for (const promise of held) promise.catch(() => undefined);
      try {
        await cachedReadsGoOn(stage, warm, longOutageMs, cause === 'SIGKILL' ? 0 : 1);
        assert.equal(await within(1_000, 'a look-up of what is known', handleOf(client, 'warm')), warm);
        assert.equal(settled, 0, 'what is not known is withheld');
        const { sinceMs } = (await statusOf(place, proxy)).data!.layers.presence!;
        assert.ok(Date.now() - Number(sinceMs) < longOutageMs + 5_000, `away since ${sinceMs}`);
        assert.match((await place.run(['status'])).stdout, /away +the origin/);
        writeFileSync(`${directory}/warm`, changed);
      } finally {
        if (cause === 'SIGKILL') serve = await place.serve(directory, listen);
        else if (cause === 'SIGSTOP') process.kill(pid, 'SIGCONT');
        else link.restore();
      }
      await within(20_000, 'what was held', Promise.all(held));
      assert.ok((await within(5_000, 'a read after the outage', readFile(client, warm))).equals(changed));
      assert.equal((await statusOf(place, proxy)).data!.layers.presence!.away, false);
      await finish({ ...stage, serve });
    });

  it('that hangs or is gone does not keep the proxy from ending, with calls held', async () => {
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
      const stage = await scene(`ends-${signal}`);
      const { client, serve, proxy } = stage;
      const cold = await handleOf(client, 'cold');
      if (signal === 'SIGSTOP') await stop(serve.command.pid);
      else process.kill(serve.command.pid, signal);
      const held = readFile(client, cold);
      held.catch(() => undefined);
      await sleep(300);
      const { code } = await within(5_000, `the end of the proxy after ${signal}`, proxy.command.end('SIGTERM'));
      assert.equal(code, 0, proxy.command.stderr);
      await client.close();
      await serve.command.end('SIGKILL');
      await stage.link.close();
    }
  });

  it('that comes back with another file system on its port is STALE until the first one returns; nothing is mixed', async () => {
    const stage = await scene('first');
    const { client, directory, listen, proxy } = stage;
    const [warm, cold] = [await handleOf(client, 'warm'), await handleOf(client, 'cold')];
    const other = place.directory('second');
    const foreign = randomBytes(400_000);
    for (const name of ['warm', 'cold']) writeFileSync(`${other}/${name}`, foreign);
    await stage.serve.command.end('SIGKILL');
    const impostor = await place.serve(other, listen);
    const read = await within(
      10_000,
      'a read',
      Promise.resolve(client.filesystem.read(call, { object: cold, offset: 0, count: 1000 })),
    );
    assert.equal(statusName(read.status), 'NFS3ERR_STALE');
    const data = [Buffer.alloc(10)];
    const write = await client.filesystem.write(call, { object: warm, offset: 0, count: 10, stable: 2, data });
    assert.equal(statusName(write.status), 'NFS3ERR_STALE');
    const looked = await client.filesystem.lookup(call, { directory: client.root, name: 'unseen' });
    assert.notEqual(looked.status, 0);
    // What is shown of the old file is the old file.
    const shown = await client.filesystem.read(call, { object: warm, offset: 0, count: 1000 });
    if (shown.status === 0) assert.ok(Buffer.concat(shown.data as Buffer[]).equals(content.subarray(0, 1000)));
    else assert.equal(shown.status, Status.STALE);
    assert.ok(readFileSync(`${other}/warm`).equals(foreign));
    assert.match(proxy.command.stderr, /another file system/);
    await impostor.command.end('SIGKILL');
    const first = await place.serve(directory, listen);
    await sleep(1_500);
    for (const object of [warm, cold])
      assert.ok((await within(10_000, 'a read of the first origin', readFile(client, object))).equals(content));
    await finish({ ...stage, serve: first });
  });

  it('whose file was removed or replaced behind the proxy is STALE or new, never a mixture', async () => {
    const stage = await scene('replaced');
    const { client, directory, proxy } = stage;
    await client.close();
    await proxy.command.end();
    const changed = randomBytes(400_000);
    rmSync(`${directory}/warm`);
    writeFileSync(`${directory}/warm`, changed);
    writeFileSync(`${directory}/cold`, changed);
    const again = await place.proxy(stage.serve, place.at('cache-replaced'));
    const fresh = await place.mount(again);
    for (const name of ['warm', 'cold'])
      assert.ok((await readFile(fresh, await handleOf(fresh, name))).equals(changed), name);
    await finish({ ...stage, proxy: again, client: fresh });
  });

  it('that answers garbage, or nothing, gets a message with cause and remedy', async () => {
    const sockets = new Set<Socket>();
    const garbage = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(randomBytes(64)));
    });
    await new Promise<void>((resolve) => garbage.listen(0, '127.0.0.1', resolve));
    const { port } = garbage.address() as import('node:net').AddressInfo;
    const args = ['--listen', '127.0.0.1:0', '--cache', place.at('cache-none'), '--state-directory', place.at('state')];
    const ended = await within(
      40_000,
      'the answer',
      place.run(['proxy', originOf({ host: '127.0.0.1', port } as Live), ...args]),
    );
    assert.equal(ended.code, 1, ended.stderr);
    assert.match(ended.stderr, /viaduct: (ORIGIN_UNREACHABLE|TIMED_OUT|RPC_UNAVAILABLE): .+\n {2}remedy: ./);
    for (const socket of sockets) socket.destroy();
    garbage.close();
  });
});
