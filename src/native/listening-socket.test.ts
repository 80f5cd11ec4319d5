import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { duplicateDescriptor, listenOn } from './listening-socket.ts';

/** Whatever is free. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('what connects and speaks before anybody accepts is heard by who takes the socket over', async () => {
  const port = await freePort();
  const held = listenOn('127.0.0.1', port);
  assert.ok(held > 0);
  const client = connect(port, '127.0.0.1');
  await new Promise((resolve) => client.once('connect', resolve));
  client.end('early');
  const copy = duplicateDescriptor(held);
  assert.ok(copy > 0 && copy !== held);
  closeSync(held);
  const heard = Promise.withResolvers<string>();
  const server = createServer((socket) => socket.on('data', (bytes) => heard.resolve(bytes.toString())));
  server.listen({ fd: copy });
  assert.equal(await heard.promise, 'early');
  server.close();
});

test('an address that somebody has, and what is no address, are told by their error', async () => {
  const port = await freePort();
  const held = listenOn('127.0.0.1', port);
  assert.equal(listenOn('127.0.0.1', port), -98);
  assert.equal(listenOn('::1', port), -22);
  closeSync(held);
});
