import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { PeerPolicy } from '../rpc/mod.ts';
import { numberArgument, RawPeer, rawCall } from '../testing/mod.ts';
import { type Mapping, PortmapServer, portmapClient, portmapHolder } from './mod.ts';

const mappings: Mapping[] = [
  { program: 100003, version: 3, protocol: 6, port: 2049 },
  { program: 100005, version: 3, protocol: 6, port: 2049 },
  { program: 100005, version: 3, protocol: 17, port: 2050 },
];
const portmap = { program: 100000, version: 2 };
const code = (wanted: string) => (error: unknown) => error instanceof ViaductError && error.code === wanted;

function argument(mapping: Mapping): Buffer {
  return Buffer.concat([mapping.program, mapping.version, mapping.protocol, mapping.port].map(numberArgument));
}

async function start(t: TestContext): Promise<number> {
  const server = new PortmapServer({
    host: '127.0.0.1',
    port: 0,
    mappings,
    clock: systemClock,
    log: silentLog,
    admit: new PeerPolicy(),
  });
  const { port } = await server.listen();
  t.after(() => server.close());
  return port;
}

for (const transport of ['tcp', 'udp'] as const) {
  test(`GETPORT and DUMP over ${transport}`, async (t) => {
    const port = await start(t);
    const options = { port, transport };
    assert.equal(await portmapClient.getPort('127.0.0.1', 100003, 3, 'tcp', options), 2049);
    assert.equal(await portmapClient.getPort('127.0.0.1', 100005, 3, 'udp', options), 2050);
    assert.equal(await portmapClient.getPort('127.0.0.1', 100003, 3, 'udp', options), 0);
    assert.equal(await portmapClient.getPort('127.0.0.1', 100003, 4, 'tcp', options), 0);
    const itself = [6, 17].map((protocol) => ({ ...portmap, protocol, port }));
    assert.deepEqual(await portmapClient.dump('127.0.0.1', options), [...mappings, ...itself]);
  });
}

test('SET and UNSET need a source port below 1024, and never touch the fixed table', async (t) => {
  const port = await start(t);
  const added = { program: 400, version: 1, protocol: 6, port: 9 };
  const ask = async (raw: RawPeer, procedure: number, mapping: Mapping): Promise<number | undefined> => {
    raw.send(rawCall({ ...portmap, procedure, arguments: argument(mapping) }));
    return (await raw.words())?.[6];
  };
  const anybody = await RawPeer.connect(port);
  t.after(() => anybody.close());
  assert.equal(await ask(anybody, 1, added), 0);
  assert.equal(await ask(anybody, 2, mappings[0]!), 0);
  if (process.getuid?.() !== 0) return;
  const root = await RawPeer.connect(port, 1001);
  t.after(() => root.close());
  assert.equal(await ask(root, 1, added), 1);
  assert.equal(await ask(root, 1, { ...added, port: 10 }), 0, 'there already');
  assert.equal(await ask(anybody, 3, added), 9);
  assert.equal(await ask(root, 2, added), 1);
  assert.equal(await ask(anybody, 3, added), 0);
  assert.equal(await ask(root, 2, mappings[0]!), 0);
  assert.equal(await ask(anybody, 3, mappings[0]!), 2049);
});

test('CALLIT is met with silence', async (t) => {
  const port = await start(t);
  const raw = await RawPeer.connect(port);
  t.after(() => raw.close());
  raw.send(rawCall({ ...portmap, xid: 1, procedure: 5, arguments: Buffer.alloc(20) }), rawCall({ ...portmap, xid: 2 }));
  assert.equal((await raw.words())?.[0], 2);
});

test('datagrams that are no calls are dropped, and reject arms answered', async (t) => {
  const port = await start(t);
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  const replies: Buffer[] = [];
  const done = new Promise<void>((resolve) =>
    socket.on('message', (message) => {
      if (replies.push(message) === 2) resolve();
    }),
  );
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(60_000, 0xff), rawCall({ messageType: 1 })]) {
    socket.send(bytes, port, '127.0.0.1');
  }
  socket.send(rawCall({ ...portmap, version: 4, xid: 5 }), port, '127.0.0.1');
  socket.send(rawCall({ ...portmap, procedure: 3, xid: 6 }), port, '127.0.0.1');
  await done;
  assert.deepEqual(
    replies.map((reply) => [reply.readUInt32BE(0), reply.readUInt32BE(20)]),
    [
      [5, 2],
      [6, 4],
    ],
  );
});

test('nobody there, somebody else there, and a portmapper of ours have names', async (t) => {
  const port = await start(t);
  assert.equal(await portmapHolder('127.0.0.1', { port }), 'portmapper');
  const mute = createServer((socket) => socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1');
  await new Promise((resolve) => mute.once('listening', resolve));
  const mutePort = (mute.address() as { port: number }).port;
  assert.equal(await portmapHolder('127.0.0.1', { port: mutePort, timeoutMs: 200 }), 'other');
  await assert.rejects(portmapClient.dump('127.0.0.1', { port: mutePort, timeoutMs: 200 }), code('TIMED_OUT'));
  mute.close();
  assert.equal(await portmapHolder('127.0.0.1', { port: mutePort }), 'nobody');
  for (const transport of ['tcp', 'udp'] as const) {
    const asking = portmapClient.getPort('127.0.0.1', 100003, 3, 'tcp', { port: mutePort, transport, timeoutMs: 2000 });
    await assert.rejects(asking, code('ORIGIN_UNREACHABLE'), transport);
  }
});

test('a port held for UDP is ADDRESS_IN_USE, and TCP is given back', async (t) => {
  const blocker = createSocket('udp4');
  await new Promise<void>((resolve) => blocker.bind(0, '127.0.0.1', resolve));
  t.after(() => blocker.close());
  const { port } = blocker.address();
  const server = new PortmapServer({ host: '127.0.0.1', port, mappings, clock: systemClock, log: silentLog });
  await assert.rejects(server.listen(), code('ADDRESS_IN_USE'));
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(port, '127.0.0.1', resolve));
  free.close();
});
