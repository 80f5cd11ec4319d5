/** Whatever arrives: the server answers it or closes the connection, goes on, and its memory stays bounded. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { limits, seededRandom } from '../../base/mod.ts';
import { type ApiFixture, ask, openApi, sendRaw } from './fixture.test.ts';

const patience = { headMs: 300, requestMs: 600 };

describe('what no client should send', () => {
  let api: ApiFixture;
  before(async () => {
    api = await openApi({ patience });
    await api.manager.create({ origin: '/a', name: 'a' });
  });
  after(() => api.close());
  afterEach(async () => {
    assert.equal((await ask(api.server, '/v1/daemon')).json().pid, 4711, 'it goes on');
    assert.equal(api.manager.views.size, 1, 'nothing was created');
    assert.deepEqual(
      api.lines.filter((line) => line.includes('nobody expected')),
      [],
    );
  });

  const statusOf = (text: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  const create = (body: string | Buffer) => ask(api.server, '/v1/sessions', { method: 'POST', body });

  it('is rubbish', async () => {
    const random = seededRandom(5);
    for (let i = 0; i < 40; i++) {
      const bytes = Buffer.from(random.bytes(new Uint8Array(1 + (random.uint32() % 4000))));
      const { text, isReset } = await sendRaw(api.server, bytes, (socket) => socket.end());
      assert.ok(isReset || text === '' || statusOf(text) === 400, text);
    }
    const lines = [
      '\0\0\0\0\r\n\r\n',
      'GET\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      'GET / HTTP/1.1\r\nhost\r\n\r\n',
      '\x16\x03\x01\x02\x00',
    ];
    for (const line of [
      ...lines,
      'GET / HTTP/1.1\r\n\r\n',
      'get / HTTP/1.1\r\nhost: x\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ]) {
      const { text } = await sendRaw(api.server, line, (socket) => socket.end());
      assert.equal(statusOf(text), 400, JSON.stringify(line));
    }
  });

  it('is too large: body, head, URL', async () => {
    const huge = Buffer.alloc(limits.apiBodyBytes + 1, 0x20);
    const told = await create(huge).catch((error: NodeJS.ErrnoException) => error);
    if (!(told instanceof Error)) assert.deepEqual([told.status, told.json().code], [413, 'REQUEST_REFUSED']);
    const said =
      'POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999999999\r\n\r\n';
    assert.equal(statusOf((await sendRaw(api.server, said)).text), 413);
    const header = await sendRaw(
      api.server,
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(limits.apiHeadBytes)}\r\n\r\n`,
    );
    assert.ok(header.isReset || statusOf(header.text) === 431);
    const url = await sendRaw(api.server, `GET /${'y'.repeat(limits.apiHeadBytes)} HTTP/1.1\r\nhost: x\r\n\r\n`);
    assert.ok(url.isReset || statusOf(url.text) === 431);
  });

  it('is a body in chunks without an end', async () => {
    const before = process.memoryUsage().rss;
    let sent = 0;
    const head =
      'POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n';
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`;
    await sendRaw(api.server, head, (socket) => {
      const more = (): void => {
        while (!socket.destroyed && sent < 256 * 1024 * 1024) {
          sent += chunk.length;
          if (!socket.write(chunk)) return;
        }
      };
      socket.on('drain', more);
      more();
    });
    assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken`);
    assert.ok(process.memoryUsage().rss - before < 128 * 1024 * 1024);
  });

  it('is JSON that is deep, ambiguous, poisoned or none', async () => {
    const bodies: [string | Buffer, RegExp][] = [
      ['['.repeat(500_000), /nested/],
      [`{"origin":"/a","settings":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`, /nested/],
      ['{"origin":"/a","origin":"/b"}', /"origin" twice/],
      ['{"origin":"/a","\\u006frigin":"/b"}', /"origin" twice/],
      ['{"origin":"/a","settings":{"pin":true,"pin" :false}}', /"pin" twice/],
      ['{"origin":"/a","__proto__":{"kind":"serve"}}', /__proto__/],
      ['{"origin":"/a","settings":{"\\u005f_proto__":{"x":1}}}', /__proto__/],
      ['{"origin":"/a","settings":{"constructor":{"prototype":{"x":1}}}}', /constructor/],
      [Buffer.from([...Buffer.from('{"origin":"/'), 0xc3, 0x28, ...Buffer.from('"}')]), /UTF-8/],
      [Buffer.from([...Buffer.from('{"origin":"/'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')]), /UTF-8/],
      ['{"origin":"/a"', /no JSON/],
      ['{"origin":"/a"}}', /no JSON/],
      ['{"origin":NaN}', /no JSON/],
      ['null', /body/],
      ['"x"', /body/],
      ['[]', /body/],
      ['{"origin":"/a","name":"\\u0000"}', /\/name/],
      [`{"origin":"/a","connections":1e999}`, /\/connections/],
      [`{"origin":"${'x'.repeat(5_000)}"}`, /\/origin/],
    ];
    for (const [body, cause] of bodies) {
      const told = await create(body);
      assert.equal(told.status, 400, told.text.slice(0, 300));
      assert.match(told.json().cause, cause);
      assert.ok(told.text.length < 2_000);
    }
    assert.equal(Reflect.get({}, 'x'), undefined);
  });

  it('comes a byte at a time, or not at all', async () => {
    const drip = (bytes: string) => (socket: Socket) => {
      let at = 0;
      const timer = setInterval(() => socket.write(bytes[at++ % bytes.length]!), 20);
      socket.on('close', () => clearInterval(timer));
    };
    const head = await sendRaw(api.server, 'GET / HTTP/1.1\r\nhost: x\r\n', drip('x: y\r\n'));
    assert.ok(head.isReset || statusOf(head.text) === 408, head.text);
    const post =
      'POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n';
    const body = await sendRaw(api.server, post, drip(' '));
    assert.ok(body.isReset || statusOf(body.text) === 408, body.text);
    const idle = connect(api.server.socketPath);
    idle.on('error', () => {});
    idle.resume();
    await once(idle, 'close');
  });

  it('is a thousand connections at once', async () => {
    // Over TCP: a Unix socket's backlog would refuse most of them before the server sees them.
    const { hostname: host, port } = new URL(api.server.url!);
    const closed = Array.from({ length: 1_000 }, () => {
      const socket = connect({ host, port: Number(port) }).resume();
      socket.on('error', () => {});
      return new Promise((resolve) => socket.on('close', resolve));
    });
    // Who says nothing is closed when his time is up, who is one too many at once.
    await Promise.all(closed);
  });

  it('could be read as two requests', async () => {
    const pairs = [
      'content-length: 4\r\ntransfer-encoding: chunked',
      'transfer-encoding: chunked\r\ncontent-length: 4',
      'content-length: 4\r\ncontent-length: 5',
      'content-length: 4, 5',
      'content-length: +4',
      'content-length: 0x4',
      'content-length : 4',
      'transfer-encoding: xchunked',
      'transfer-encoding: chunked, identity',
      'transfer-encoding:\x0bchunked',
      'x: y\ncontent-length: 4',
      'x: y\rcontent-length: 4',
    ];
    const inner = 'DELETE /v1/sessions/a HTTP/1.1\r\nhost: x\r\n\r\n';
    for (const pair of pairs) {
      const bytes = `POST /v1/configuration/reload HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${pair}\r\n\r\n0\r\n\r\n${inner}`;
      const { text, isReset } = await sendRaw(api.server, bytes, (socket) => socket.end());
      assert.ok(isReset || statusOf(text) === 400, `${pair}: ${text}`);
      assert.equal(text.split('HTTP/1.1 ').length, isReset && text === '' ? 1 : 2, `${pair}: one answer`);
    }
    assert.equal(api.manager.closed.length, 0);
  });

  it('is HTTP/1.0, other methods, and paths that lead elsewhere', async () => {
    const old = await sendRaw(api.server, 'GET /v1/daemon HTTP/1.0\r\n\r\n');
    assert.equal(statusOf(old.text), 200);
    for (const method of ['OPTIONS', 'TRACE', 'PATCH', 'PROPFIND'])
      assert.equal(
        (await ask(api.server, '/v1/sessions', { method })).status,
        method === 'PROPFIND' ? 405 : 405,
        method,
      );
    await sendRaw(api.server, 'CONNECT evil:80 HTTP/1.1\r\nhost: x\r\n\r\n', (socket) => socket.end());
    for (const path of [
      '/../etc/passwd',
      '/v1/../../etc/passwd',
      '/page/..%2f..%2fetc/passwd',
      '//etc/passwd',
      '/v1/sessions/../daemon/x',
    ])
      assert.equal((await ask(api.server, path)).status, 404, path);
    for (const session of ['..%2fdaemon', '%00', '__proto__', 'constructor'])
      assert.equal((await ask(api.server, `/v1/sessions/${session}`)).status, 404, session);
    assert.equal((await ask(api.server, '/v1/sessions/%ff')).status, 400);
    assert.equal((await ask(api.server, '/v1/tasks/__proto__')).status, 404);
    assert.equal(
      (await ask(api.server, '/v1/sessions/a?changes=keep&changes=discard', { method: 'DELETE' })).status,
      400,
    );
    assert.equal((await ask(api.server, '/v1/sessions/a?__proto__[x]=1', { method: 'DELETE' })).status, 400);
  });
});
