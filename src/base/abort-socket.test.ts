import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { abortSocket } from './abort-socket.ts';

/** A connection to a server that reads nothing; what it is told at the end. */
async function connection(t: TestContext): Promise<{ socket: Socket; lost: Promise<string | undefined> }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const [peer] = await accepted;
  t.after(() => peer.destroy());
  const lost = new Promise<string | undefined>((resolve) => {
    peer.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    peer.on('close', () => resolve(undefined));
    peer.resume();
    peer.pause();
    setTimeout(() => peer.resume(), 50);
  });
  return { socket, lost };
}

test('a socket is reset at once, also with bytes that the other side does not take', async (t) => {
  for (const bytes of [0, 64 << 20]) {
    const { socket, lost } = await connection(t);
    if (bytes > 0) socket.write(Buffer.alloc(bytes));
    socket.on('error', () => {});
    const closed = once(socket, 'close');
    abortSocket(socket);
    assert.ok(socket.destroyed);
    await closed;
    assert.equal(await lost, 'ECONNRESET');
  }
});

test('a process in which a socket was reset that was saying goodbye ends', () => {
  const program = `
    import { connect, createServer } from 'node:net';
    const { abortSocket } = await import(${JSON.stringify(new URL('./abort-socket.ts', import.meta.url).href)});
    const server = createServer({ allowHalfOpen: true }, (peer) => { peer.on('error', () => {}); peer.resume(); });
    server.listen(0, '127.0.0.1', () => {
      const socket = connect(server.address().port, '127.0.0.1', () => {
        socket.on('error', (error) => console.log(error.code));
        socket.end();
        abortSocket(socket);
        abortSocket(socket);
        server.close();
      });
    });`;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', program];
  const { status, signal, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 });
  assert.deepEqual({ status, signal, stdout }, { status: 0, signal: null, stdout: '' });
});
