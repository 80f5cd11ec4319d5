import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ViaductError } from '../../base/mod.ts';
import { type ApiFixture, ask, openApi } from './fixture.test.ts';

const portOf = (url: string | undefined): number => Number(new URL(url!).port);
const post = (body: unknown) => ({ method: 'POST', body: JSON.stringify(body) });

describe('the API over its socket', () => {
  let api: ApiFixture;
  before(async () => {
    api = await openApi();
  });
  after(() => api.close());

  it('creates, lists, shows, samples, reopens and closes sessions', async () => {
    const { server, manager } = api;
    const created = await ask(
      server,
      '/v1/sessions',
      post({ origin: 'store:/a', name: 'one', settings: { pin: true } }),
    );
    assert.equal(created.status, 201);
    const { id } = created.json();
    assert.deepEqual(manager.requests.at(-1), { origin: 'store:/a', name: 'one', settings: { pin: true } });
    assert.deepEqual((await ask(server, '/v1/sessions')).json(), manager.list());
    assert.equal((await ask(server, '/v1/sessions/one')).json().id, id);
    assert.equal((await ask(server, '/v1/samples')).json()[0].name, 'one');
    assert.equal((await ask(server, `/v1/sessions/${id}/reopen`, { method: 'POST' })).json().id, id);
    const again = await ask(server, '/v1/sessions', post({ origin: 'store:/b', name: 'one' }));
    assert.deepEqual([again.status, again.json().code], [409, 'SESSION_EXISTS']);
    const closed = await ask(server, '/v1/sessions/one?changes=keep', { method: 'DELETE' });
    assert.deepEqual([closed.status, closed.json()], [200, { id, name: 'one' }]);
    assert.deepEqual(manager.closed.at(-1), [id, { changes: 'keep' }]);
  });

  it('tells daemon, threads, policies, configuration and explanations', async () => {
    const { server } = api;
    assert.equal((await ask(server, '/v1/daemon')).json().pid, 4711);
    assert.equal((await ask(server, '/v1/threads')).json()[0].name, 'main');
    assert.deepEqual((await ask(server, '/v1/policies')).json(), []);
    assert.equal((await ask(server, '/v1/policies/explain', post({ path: 'store:/a' }))).json().path, 'store:/a');
    assert.equal((await ask(server, '/v1/configuration')).status, 200);
    assert.deepEqual((await ask(server, '/v1/configuration/reload', { method: 'POST' })).json().pending, []);
  });

  it('answers errors with code, cause and remedy', async () => {
    const { server } = api;
    const cases = [
      ['/v1/sessions/none', {}, 404, 'SESSION_NOT_FOUND'],
      ['/v1/tasks/none', {}, 404, 'TASK_NOT_FOUND'],
      ['/v1/nothing', {}, 404, 'REQUEST_REFUSED'],
      ['/v1/sessions', { method: 'PUT' }, 405, 'REQUEST_REFUSED'],
      ['/v1/sessions', { method: 'HEAD' }, 405, undefined],
      ['/v1/sessions?x=1', {}, 400, 'REQUEST_REFUSED'],
      [
        '/v1/sessions',
        { method: 'POST', body: 'a=b', headers: { 'content-type': 'text/plain' } },
        415,
        'REQUEST_REFUSED',
      ],
      ['/v1/sessions', { method: 'POST' }, 400, 'REQUEST_REFUSED'],
      ['/v1/sessions/none/tasks', post({ task: 'flush' }), 404, 'SESSION_NOT_FOUND'],
      ['/v1/configuration/reload', post({ now: true }), 400, 'REQUEST_REFUSED'],
      ['/v1/%', {}, 400, 'REQUEST_REFUSED'],
      [`/v1/sessions/${'x'.repeat(300)}`, {}, 414, 'REQUEST_REFUSED'],
    ] as const;
    for (const [path, question, status, code] of cases) {
      const told = await ask(server, path, question);
      assert.equal(told.status, status, `${path}: ${told.text}`);
      if (code === undefined) continue;
      assert.equal(told.json().code, code, path);
      for (const key of ['cause', 'remedy']) assert.ok(told.json()[key].length > 5, path);
    }
    assert.equal((await ask(server, '/v1/sessions', { method: 'PUT' })).headers.allow, 'GET, POST');
  });

  it('names each property that it does not know or that does not fit', async () => {
    const wrong = { origin: 7, sise: 1, allow: ['a', 3] };
    const { status, text } = await ask(api.server, '/v1/sessions', post(wrong));
    assert.equal(status, 400);
    for (const part of ['/origin', '/sise: there is no such property', '/allow/1'])
      assert.ok(text.includes(part), text);
    const task = await ask(api.server, '/v1/sessions/x/tasks', post({ task: 'flush', force: true }));
    assert.ok(task.text.includes('/force: there is no such property'), task.text);
  });

  it('tells no more than that of a bug, and logs it', async () => {
    const { manager, server, lines } = api;
    manager.list = () => {
      throw new TypeError('secret of the inside');
    };
    const told = await ask(server, '/v1/sessions');
    Reflect.deleteProperty(manager, 'list');
    assert.deepEqual([told.status, told.json().code], [500, 'UNEXPECTED']);
    assert.ok(!told.text.includes('    at '));
    assert.ok(lines.some((line) => line.includes('secret of the inside')));
  });

  it('serves the page and nothing beside it', async () => {
    const { server } = api;
    const page = await ask(server, '/');
    assert.equal(page.status, 200);
    assert.match(String(page.headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
    const library = await ask(server, '/page/uPlot.esm.js');
    assert.match(String(library.headers['content-type']), /javascript/);
    assert.ok(library.text.length > 10_000);
    const outside = [
      '..%2fcontract.ts',
      '../contract.ts',
      '%2e%2e/contract.ts',
      '.',
      '..',
      '',
      'a%00.js',
      'x/../main.js',
    ];
    for (const name of [...outside, 'uPlot.cjs.js', 'no.js', '....//main.js'])
      assert.equal((await ask(server, `/page/${name}`)).status, 404, name);
  });
});

describe('the API over TCP', () => {
  let api: ApiFixture;
  let port: number;
  let token: string;
  before(async () => {
    api = await openApi();
    port = portOf(api.server.url);
    token = readFileSync(api.tokenFile, 'utf8').trim();
  });
  after(() => api.close());

  it('wants its token, which only its owner can read', async () => {
    assert.equal(statSync(api.tokenFile).mode & 0o777, 0o600);
    assert.ok(token.length >= 43);
    const bearer = { authorization: `Bearer ${token}` };
    assert.equal((await ask(api.server, '/v1/daemon', { port, headers: bearer })).status, 200);
    for (const path of ['/v1/daemon', '/metrics', '/v1/events', '/v1/openapi.json', '/nothing', '//', '/page'])
      assert.equal((await ask(api.server, path, { port })).status, 401, path);
    const wrong = ['', 'Bearer', `Bearer ${token}x`, `Bearer ${token.slice(1)}`, `Basic ${token}`, token, 'Bearer é'];
    for (const authorization of wrong) {
      const told = await ask(api.server, '/v1/daemon', { port, headers: { authorization } });
      assert.deepEqual([told.status, told.json().code], [401, 'TOKEN_REFUSED'], authorization);
    }
  });

  it('serves the files of the page without it', async () => {
    assert.equal((await ask(api.server, '/', { port })).status, 200);
    assert.equal((await ask(api.server, '/page/uPlot.min.css', { port })).status, 200);
  });

  it('refuses foreign pages and foreign names of this host, token or not', async () => {
    const bearer = { authorization: `Bearer ${token}` };
    const tries: [Record<string, string>, number][] = [
      [{ host: 'evil.example' }, 403],
      [{ host: `evil.example:${port}` }, 403],
      [{ host: '127.0.0.1.evil.example' }, 403],
      [{ host: `localhost:${port}` }, 200],
      [{ host: 'Viaduct-Host' }, 200],
      [{ host: `[::1]:${port}` }, 200],
      [{ origin: 'http://evil.example' }, 403],
      [{ origin: 'null' }, 403],
      [{ origin: `https://127.0.0.1:${port}` }, 403],
      [{ origin: `http://127.0.0.1:${port}` }, 200],
    ];
    for (const [headers, status] of tries) {
      const told = await ask(api.server, '/v1/daemon', { port, headers: { ...bearer, ...headers } });
      assert.equal(told.status, status, JSON.stringify(headers));
    }
  });
});

describe('the socket of the daemon', () => {
  it('can be opened by its owner alone, and is gone after the end', async () => {
    const { server, close, directory, manager } = await openApi();
    assert.equal(statSync(server.socketPath).mode & 0o777, 0o600);
    assert.ok(manager.listeners > 0);
    await server.close();
    assert.equal(existsSync(join(directory, 'viaduct.sock')), false);
    assert.equal(manager.listeners, 0);
    await close();
  });

  it('is not taken from a living daemon, whose pid is told', async () => {
    const first = await openApi();
    await assert.rejects(openApi({ runtimeDirectory: first.directory }), (error: ViaductError) => {
      assert.equal(error.code, 'DAEMON_RUNNING');
      assert.ok(error.message.includes(`pid ${process.pid},`), error.message);
      return true;
    });
    assert.equal((await ask(first.server, '/v1/daemon')).status, 200);
    await first.close();
  });

  it('is not taken from a living daemon whose lock file somebody removed', async () => {
    const first = await openApi();
    rmSync(`${first.server.socketPath}.lock`);
    await assert.rejects(openApi({ runtimeDirectory: first.directory }), { code: 'DAEMON_RUNNING' });
    await first.close();
  });

  it('is replaced if nobody is behind it, and kept if it is no socket', async () => {
    const scratch = await openApi();
    await scratch.server.close();
    const path = join(scratch.directory, 'viaduct.sock');
    // A socket whose process is gone: Node removes it at close, so it is put back by a link.
    const { linkSync } = await import('node:fs');
    const dead = createServer().listen(path);
    await new Promise((resolve) => dead.once('listening', resolve));
    linkSync(path, `${path}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    linkSync(`${path}.kept`, path);
    const next = await openApi({ runtimeDirectory: scratch.directory });
    assert.equal((await ask(next.server, '/v1/daemon')).status, 200);
    await next.server.close();
    writeFileSync(path, 'something of a person');
    await assert.rejects(openApi({ runtimeDirectory: scratch.directory }), { code: 'CONFIGURATION_INVALID' });
    assert.equal(readFileSync(path, 'utf8'), 'something of a person');
    await next.close();
    await scratch.close();
  });

  it('has a path that the kernel takes, or the error says so', async () => {
    const scratch = await openApi();
    const long = join(scratch.directory, 'x'.repeat(100));
    await assert.rejects(openApi({ runtimeDirectory: long }), (error: ViaductError) => /107/.test(error.message));
    await scratch.close();
  });

  it('takes the token of its file again: a new one, one that it makes, never a bad one', async () => {
    const own = await openApi();
    const at = portOf(own.server.url);
    const status = async (token: string): Promise<number | undefined> =>
      (await ask(own.server, '/v1/daemon', { port: at, headers: { authorization: `Bearer ${token}` } })).status;
    const first = readFileSync(own.tokenFile, 'utf8').trim();
    const second = 'b'.repeat(40);
    writeFileSync(own.tokenFile, second);
    own.server.readToken();
    assert.deepEqual([await status(first), await status(second)], [401, 200]);
    writeFileSync(own.tokenFile, 'short');
    own.server.readToken();
    assert.equal(await status(second), 200);
    rmSync(own.tokenFile);
    own.server.readToken();
    const made = readFileSync(own.tokenFile, 'utf8').trim();
    assert.deepEqual([await status(second), await status(made)], [401, 200]);
    await own.close();
  });

  it('is not opened with a token that others can read', async () => {
    const scratch = await openApi();
    const tokenFile = join(scratch.directory, 'open');
    writeFileSync(tokenFile, 'a'.repeat(40), { mode: 0o644 });
    const tcp = { host: '127.0.0.1', port: 0, tokenFile };
    await assert.rejects(openApi({ tcp }), /can be read by others/);
    writeFileSync(join(scratch.directory, 'short'), 'a', { mode: 0o600 });
    await assert.rejects(openApi({ tcp: { ...tcp, tokenFile: join(scratch.directory, 'short') } }), /holds no token/);
    await scratch.close();
  });
});
