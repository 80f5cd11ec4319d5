import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { seededRandom, silentLog, systemClock, ViaductError } from '../../base/mod.ts';
import { type ApiFixture, openApi, servicesFor, someProgress } from '../api/fixture.test.ts';
import { ApiServer } from '../api/server.ts';
import type { DaemonClient } from './client.ts';
import { connectDaemon } from './connect.ts';

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

describe('finding the daemon', () => {
  it('tells none where no daemon ever was, and where one died', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'viaduct-client-'));
    try {
      assert.equal(await connectDaemon({ runtimeDirectory: join(directory, 'absent') }), undefined);
      const api = await openApi();
      const { directory: used } = api;
      const url = api.server.url!;
      await api.close();
      assert.equal(await connectDaemon({ runtimeDirectory: used }), undefined);
      assert.equal(await connectDaemon({ url, token: 'x' }), undefined);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('fails if somebody listens there who is no daemon', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'viaduct-client-'));
    mkdirSync(directory, { recursive: true });
    const server = createServer((socket) => socket.resume().end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhm'));
    await new Promise<void>((resolve) => server.listen(join(directory, 'viaduct.sock'), resolve));
    await assert.rejects(connectDaemon({ runtimeDirectory: directory }), { code: 'UNEXPECTED' });
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  it('works over TCP with the token, and says so without', async () => {
    const api = await openApi();
    const token = readFileSync(api.tokenFile, 'utf8').trim();
    const client = await connectDaemon({ url: api.server.url!, token });
    assert.equal((await client!.daemon()).pid, 4711);
    await assert.rejects(connectDaemon({ url: api.server.url!, token: 'wrong' }), { code: 'TOKEN_REFUSED' });
    await api.close();
  });
});

describe('the client', () => {
  let api: ApiFixture;
  let client: DaemonClient;
  beforeEach(async () => {
    api = await openApi();
    client = (await connectDaemon({ runtimeDirectory: api.directory }))!;
  });
  afterEach(() => api.close());

  it('has a method for each path', async () => {
    const made = await client.createSession({ origin: '/a', name: 'a/b c', settings: { 'write-back-after': '5s' } });
    assert.deepEqual(await client.sessions(), [made]);
    assert.equal((await client.session('a/b c')).id, made.id);
    assert.equal((await client.samples())[0]!.name, 'a/b c');
    assert.equal((await client.reopenSession(made.id)).id, made.id);
    assert.deepEqual(await client.tasks(), []);
    assert.equal((await client.threads())[0]!.name, 'main');
    assert.deepEqual(await client.policies(), []);
    assert.equal((await client.explainPolicy({ path: '/a' })).path, '/a');
    assert.deepEqual((await client.configuration()).configuration, {});
    assert.deepEqual(await client.reloadConfiguration(), { changed: [], pending: [] });
    assert.equal((await client.openapi()).openapi, '3.1.0');
    assert.ok((await client.metrics()).includes('viaduct_sessions{state="running"} 1'));
    assert.deepEqual(await client.closeSession(made.id, { changes: 'keep' }), { id: made.id, name: 'a/b c' });
    assert.deepEqual(api.manager.closed, [[made.id, { changes: 'keep' }]]);
  });

  it('fails with the code, cause and remedy of the server', async () => {
    await assert.rejects(client.session('none'), (error: ViaductError) => {
      assert.ok(error instanceof ViaductError);
      assert.deepEqual([error.code, error.remedy], ['SESSION_NOT_FOUND', 'List them.']);
      return true;
    });
  });

  it('stops waiting when it is told to', async () => {
    await api.manager.create({ origin: '/a', name: 'a' });
    const hold = Promise.withResolvers<void>();
    api.manager.hold = hold.promise;
    const abort = new AbortController();
    const asking = client.session('a', { signal: abort.signal });
    await until(() => api.manager.shown > 0);
    abort.abort(new Error('enough'));
    await assert.rejects(asking, /enough/);
    hold.resolve();
  });

  it('follows a task to its end', async () => {
    await api.manager.create({ origin: '/a', name: 'a' });
    const id = await client.startTask('a', { task: 'write-back' });
    const states: (string | undefined)[] = [];
    for await (const view of client.followTask(id)) {
      states.push(view.progress?.state ?? view.state);
      if (states.length === 1) api.manager.running[0]!.onProgress(someProgress);
      else api.manager.running[0]!.end.resolve({ outcome: 'done', problems: [] });
    }
    assert.deepEqual(states, ['running', 'writing', 'writing']);
    assert.deepEqual((await client.task(id)).result, { outcome: 'done', problems: [] });
    await assert.rejects(client.followTask('t-none').next(), { code: 'TASK_NOT_FOUND' });
  });

  it('ends the following of a task with the daemon', async () => {
    await api.manager.create({ origin: '/a', name: 'a' });
    const following = client.followTask(await client.startTask('a', { task: 'write-back' }));
    await following.next();
    await api.server.close();
    await assert.rejects(following.next(), { code: 'DAEMON_UNREACHABLE' });
  });

  it('follows events over a broken connection without losing one, and is told of a daemon that was started again', async () => {
    const abort = new AbortController();
    const seen: (number | string)[] = [];
    const following = (async () => {
      for await (const event of client.events({ signal: abort.signal, lastEventId: 'none-0' })) {
        seen.push(event.kind === 'lost' ? 'lost' : event.number);
      }
    })();
    await until(() => seen.length === 1);
    api.manager.emit({ kind: 'worker-restarted' });
    await until(() => seen.length === 2);
    await api.server.close();
    const { directory: runtimeDirectory, manager } = api;
    const tools = { clock: systemClock, log: silentLog, random: seededRandom(2) };
    const place = { runtimeDirectory, uid: process.getuid!(), pid: process.pid, hostName: 'h' };
    const next = await ApiServer.start({ services: servicesFor(manager), ...place, ...tools });
    manager.emit({ kind: 'worker-restarted' });
    await until(() => seen.length === 4);
    assert.deepEqual(seen, ['lost', 1, 'lost', 2]);
    abort.abort();
    await following;
    await next.close();
  });
});
