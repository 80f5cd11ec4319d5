import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { seededRandom, silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { eventually, framed, TestService, testProcedures, testProgram } from '../testing/mod.ts';
import { credential, Urgency } from '../vfs/mod.ts';
import { RpcClient, type RpcClientOptions } from './client.ts';
import type { ClientState } from './client-health.ts';
import { DuplicateRequestCache } from './duplicates.ts';
import type { CallOptions } from './procedure.ts';
import { RpcServer } from './server.ts';

const who = { credential: credential(1000, 100, [4, 5]) };
const { echo, hold, add, badReply, read, holdAdd, whoAmI } = testProcedures;
const code = (wanted: string) => (error: unknown) => error instanceof ViaductError && error.code === wanted;

async function start(t: TestContext, service: TestService, port = 0, duplicates = new DuplicateRequestCache()) {
  const server = new RpcServer({ programs: [service.program], clock: systemClock, log: silentLog, duplicates });
  const address = await server.listen('127.0.0.1', port);
  t.after(() => server.close(0));
  return { server, port: address.port };
}

function connectTo(t: TestContext, port: number, more: Partial<RpcClientOptions> = {}): RpcClient {
  const client = new RpcClient({
    host: '127.0.0.1',
    port,
    clock: systemClock,
    log: silentLog,
    random: seededRandom(1),
    ...more,
  });
  t.after(() => client.close());
  return client;
}

/** A server that answers as the test says: it gets the socket and each whole message. */
async function scripted(t: TestContext, onMessage: (socket: Socket, message: Buffer) => void) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    let received: Buffer = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 4) {
        const length = received.readUInt32BE(0) - 0x8000_0000;
        if (received.length < 4 + length) break;
        const message = received.subarray(4, 4 + length);
        received = received.subarray(4 + length);
        onMessage(socket, message);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as { port: number }).port, sockets };
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => {
    bytes.writeUInt32BE(value, 4 * i);
  });
  return bytes;
}

test('replies are matched in any order', async (t) => {
  const service = new TestService();
  const { port } = await start(t, service);
  const client = connectTo(t, port);
  const slow = [1, 2, 3].map((id) => client.call(testProgram, hold, id, who));
  assert.equal((await client.call(testProgram, echo, Buffer.from('abc'), who)).toString(), 'abc');
  assert.equal(await client.call(testProgram, whoAmI, undefined, who), 1000);
  for (const id of [2, 3, 1]) service.held.get(id)!(10 * id);
  assert.deepEqual(await Promise.all(slow), [10, 20, 30]);
  assert.equal(client.stats().outstanding, 0);
});

test('a prefetch that becomes a demand while it waits overtakes the others', async (t) => {
  const order: number[] = [];
  const { port } = await scripted(t, (socket, message) => {
    const value = message.readUInt32BE(message.length - 4);
    order.push(value);
    socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0, value)])));
  });
  const client = connectTo(t, port);
  const ask = (value: number, more: Partial<CallOptions> = {}): Promise<number> =>
    client.call(testProgram, hold, value, { ...who, ...more });
  await ask(0);
  const urgency = new Urgency();
  const late = new Urgency();
  const asked = [1, 2].map((value) => ask(value, { priority: 'prefetch' }));
  asked.push(ask(3, { priority: 'prefetch', urgency }), ask(4, { priority: 'prefetch', urgency: late }), ask(5));
  urgency.raise();
  assert.deepEqual(await Promise.all(asked), [1, 2, 3, 4, 5]);
  assert.deepEqual(order, [0, 5, 3, 1, 2, 4]);
  // Answered already: nothing is sent again.
  late.raise();
  await ask(6, { priority: 'prefetch', urgency });
  assert.deepEqual(order.slice(6), [6]);
});

test('reject arms have their error codes', async (t) => {
  const { port } = await start(t, new TestService());
  const client = connectTo(t, port);
  const call = (program: number, version: number, procedure: number): Promise<unknown> =>
    client.call({ program, version }, { ...badReply, number: procedure }, undefined, who);
  await assert.rejects(call(1, 1, 1), code('RPC_UNAVAILABLE'));
  await assert.rejects(call(testProgram.program, 9, 1), /serves program .* in versions 2 to 2, not 9/);
  await assert.rejects(call(testProgram.program, 2, 7), code('RPC_UNAVAILABLE'));
  await assert.rejects(call(testProgram.program, 2, 6), code('UNEXPECTED'), 'GARBAGE_ARGS');
  await assert.rejects(call(testProgram.program, 2, 4), code('ORIGIN_REFUSED'), 'SYSTEM_ERR');
  await assert.rejects(
    client.call(testProgram, { ...echo, reply: hold.reply }, Buffer.alloc(9), who),
    code('UNEXPECTED'),
  );
  assert.equal((await client.call(testProgram, echo, Buffer.from('on'), who)).toString(), 'on');
});

test('denied replies have their error codes', async (t) => {
  let arm: number[] = [];
  const { port } = await scripted(t, (socket, message) =>
    socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 1, ...arm)]))),
  );
  const client = connectTo(t, port);
  arm = [1, 5];
  await assert.rejects(client.call(testProgram, whoAmI, undefined, who), code('ORIGIN_REFUSED'));
  arm = [0, 3, 4];
  await assert.rejects(client.call(testProgram, whoAmI, undefined, who), code('RPC_UNAVAILABLE'));
  arm = [1];
  await assert.rejects(client.call(testProgram, whoAmI, undefined, who), code('UNEXPECTED'), 'a reply cut short');
});

test('a deadline rejects with TIMED_OUT, and a late answer harms nothing', async (t) => {
  const service = new TestService();
  const { port } = await start(t, service);
  const client = connectTo(t, port);
  await assert.rejects(client.call(testProgram, hold, 1, { ...who, deadlineMs: 50 }), code('TIMED_OUT'));
  service.held.get(1)!(1);
  assert.equal((await client.call(testProgram, echo, Buffer.from('x'), who)).toString(), 'x');
});

test('calls wait for a server that is not there yet, and for one that was killed and comes back', async (t) => {
  const first = new TestService();
  const one = await start(t, first);
  const states: ClientState['state'][] = [];
  const client = connectTo(t, one.port, { connections: 2, onState: (state) => states.push(state.state) });
  const waiting = [client.call(testProgram, hold, 1, who), client.call(testProgram, hold, 2, who)];
  await eventually(() => first.held.size === 2, 'both calls are under way');
  await one.server.close(0);
  await eventually(() => states.at(-1) === 'disconnected', 'the loss is noticed');
  waiting.push(client.call(testProgram, hold, 3, who));
  const second = new TestService();
  await start(t, second, one.port);
  await eventually(() => second.held.size === 3, 'all calls are sent to the new server');
  for (const [id, answer] of second.held) answer(id + 100);
  assert.deepEqual(await Promise.all(waiting), [101, 102, 103]);
  assert.deepEqual(states, ['connected', 'disconnected', 'connected']);
  assert.ok(client.stats().reconnects >= 1);
});

test('a non-idempotent call is sent again with its xid from the same source port and is executed once', async (t) => {
  const ports: number[] = [];
  const xids: number[] = [];
  const { port } = await scripted(t, (socket, message) => {
    ports.push(socket.remotePort!);
    xids.push(message.readUInt32BE(0));
    if (ports.length === 1) socket.resetAndDestroy();
    else socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0, 42)])));
  });
  // An address of its own: other tests of this host cannot take its port meanwhile.
  const client = connectTo(t, port, { connections: 3, localAddress: '127.0.0.77' });
  assert.equal(await client.call(testProgram, add, 1, who), 42);
  assert.equal(ports.length, 2);
  assert.equal(ports[0], ports[1]);
  assert.equal(xids[0], xids[1]);
});

test('a source port that somebody else has is given up after some tries', async (t) => {
  const ports: number[] = [];
  const { port, sockets } = await scripted(t, (socket, message) => {
    ports.push(socket.remotePort!);
    if (ports.length > 1) socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0, 42)])));
  });
  const client = connectTo(t, port, { localAddress: '127.0.0.78' });
  const call = client.call(testProgram, add, 1, who);
  await eventually(() => ports.length === 1, 'the call has arrived');
  const squatter = createServer();
  t.after(() => squatter.close());
  for (const socket of sockets) socket.resetAndDestroy();
  await new Promise<void>((resolve) => squatter.listen(ports[0], '127.0.0.78', resolve));
  assert.equal(await call, 42);
  assert.notEqual(ports[1], ports[0]);
});

test('a call answered while the connection was lost is answered from the kept reply', async (t) => {
  const service = new TestService();
  const duplicates = new DuplicateRequestCache();
  const one = await start(t, service, 0, duplicates);
  const client = connectTo(t, one.port);
  const adding = client.call(testProgram, holdAdd, 5, who);
  await eventually(() => service.held.size === 1, 'the call is under way');
  await one.server.close(0);
  service.held.get(5)!(50);
  await eventually(() => duplicates.stats().kept === 1, 'the reply is kept');
  await start(t, service, one.port, duplicates);
  assert.equal(await adding, 50);
  assert.equal(service.counter, 5);
});

test('a silent server is pinged, given up and connected to again; a slow one that answers pings is not', async (t) => {
  let connections = 0;
  let alive = true;
  const { port, sockets } = await scripted(t, (socket, message) => {
    connections = sockets.size;
    const procedure = message.readUInt32BE(20);
    if (procedure === 0 && alive) socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0)])));
    else if (connections === 2) socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0, 7)])));
  });
  const client = connectTo(t, port, { pingMs: 100, pingTimeoutMs: 300 });
  const call = client.call(testProgram, hold, 1, who);
  await new Promise((resolve) => setTimeout(resolve, 900));
  assert.equal(connections, 1, 'pings are answered');
  alive = false;
  assert.equal(await call, 7);
  assert.equal(connections, 2);
});

test('a lost call is sent again on a connection that is alive', async (t) => {
  let calls = 0;
  const { port, sockets } = await scripted(t, (socket, message) => {
    if (++calls === 2) socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0, 7)])));
  });
  const client = connectTo(t, port, { retransmitMs: 200 });
  assert.equal(await client.call(testProgram, add, 1, who), 7);
  assert.equal(sockets.size, 1);
});

test('connections are opened as they are needed, and a stalled one holds back no demand call', async (t) => {
  const stalled = new Set<Socket>();
  const { port, sockets } = await scripted(t, (socket, message) => {
    if (stalled.size === 0) stalled.add(socket);
    if (stalled.has(socket)) return;
    socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0, 7)])));
  });
  const client = connectTo(t, port, { connections: 3 });
  const lost = client.call(testProgram, hold, 1, { ...who, replyBytes: 1 << 20 });
  lost.catch(() => undefined);
  await eventually(() => stalled.size === 1, 'the first connection is stalled');
  assert.equal(sockets.size, 1);
  const second = client.call(testProgram, hold, 2, who);
  second.catch(() => undefined);
  await eventually(() => client.stats().connected === 2, 'a second connection is opened');
  for (let i = 0; i < 20; i++) assert.equal(await client.call(testProgram, hold, i, { ...who, deadlineMs: 1000 }), 7);
});

test('it connects before there is a call when it is told to, and that it cannot is told by the calls', async (t) => {
  const { server, port } = await start(t, new TestService());
  const client = connectTo(t, port, { connections: 3 });
  client.connect();
  await eventually(() => client.stats().connected === 1, 'it is connected');
  await client.call(testProgram, echo, Buffer.from('a'), who);
  assert.equal(client.stats().connected, 1);
  await server.close(0);
  const lost = connectTo(t, port, { unreachable: 'fail' });
  lost.connect();
  assert.equal(lost.state().state, 'idle');
  await assert.rejects(lost.call(testProgram, echo, Buffer.from('a'), who), code('ORIGIN_UNREACHABLE'));
});

test('large replies arrive whole over several connections', async (t) => {
  const { port } = await start(t, new TestService());
  const client = connectTo(t, port, { connections: 4 });
  const sizes = Array.from({ length: 40 }, (_, i) => i * 25_000);
  const replies = await Promise.all(sizes.map((size) => client.call(testProgram, read, size, who)));
  assert.ok(replies.every((reply, i) => reply.equals(Buffer.alloc(sizes[i]!, 0x5a))));
});

test('with `unreachable: fail` a refused connection rejects at once', async (t) => {
  const { port, server } = await start(t, new TestService());
  await server.close(0);
  const client = connectTo(t, port, { unreachable: 'fail' });
  await assert.rejects(client.call(testProgram, hold, 1, who), code('ORIGIN_UNREACHABLE'));
});

test('close rejects what is under way, and what comes after', async (t) => {
  const service = new TestService();
  const { port, server } = await start(t, service);
  const client = connectTo(t, port);
  const call = client.call(testProgram, hold, 1, who);
  const rejected = assert.rejects(call, code('ORIGIN_UNREACHABLE'));
  await eventually(() => service.held.size === 1, 'the call is under way');
  await client.close();
  await rejected;
  await assert.rejects(client.call(testProgram, hold, 1, who), code('ORIGIN_UNREACHABLE'));
  await eventually(() => server.stats().connections === 0, 'the socket is closed');
});

test('a privileged source port is below 1024', { skip: process.getuid?.() !== 0 }, async (t) => {
  const ports: number[] = [];
  const { port } = await scripted(t, (socket, message) => {
    ports.push(socket.remotePort!);
    socket.write(framed(Buffer.concat([message.subarray(0, 4), words(1, 0, 0, 0, 0, 7)])));
  });
  const clients = [1, 1, 2].map((seed) => connectTo(t, port, { privilegedPort: true, random: seededRandom(seed) }));
  for (const client of clients) await client.call(testProgram, hold, 1, who);
  assert.equal(new Set(ports).size, 3, 'a port that is taken is passed over');
  assert.ok(ports.every((each) => each >= 512 && each < 1024));
});
