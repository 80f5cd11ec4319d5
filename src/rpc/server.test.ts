import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { limits, systemClock, ViaductError } from '../base/mod.ts';
import {
  eventually,
  framed,
  KeptLog,
  numberArgument,
  type RawCall,
  RawPeer,
  rawCall,
  sysBody,
  TestService,
  testProgram,
} from '../testing/mod.ts';
import { RpcServer } from './server.ts';

const seed = 20262;

async function serve(t: TestContext, services = [new TestService()]) {
  const log = new KeptLog();
  const server = new RpcServer({ programs: services.map((service) => service.program), clock: systemClock, log });
  const { port } = await server.listen('127.0.0.1', 0);
  t.after(() => server.close(0));
  const peer = async (): Promise<RawPeer> => {
    const raw = await RawPeer.connect(port);
    t.after(() => raw.close());
    return raw;
  };
  return { server, port, log, service: services[0]!, peer };
}

const accepted = (xid: number, ...rest: number[]): number[] => [xid, 1, 0, 0, 0, ...rest];

test('every arm of the reply', async (t) => {
  const { peer, log } = await serve(t, [new TestService(2), new TestService(4)]);
  const raw = await peer();
  const ask = async (call: RawCall): Promise<number[] | undefined> => {
    raw.send(rawCall(call));
    return raw.words();
  };
  assert.deepEqual(await ask({ xid: 10 }), accepted(10, 0), 'NULL');
  assert.deepEqual(await ask({ xid: 11, procedure: 3, arguments: numberArgument(5) }), accepted(11, 0, 5), 'SUCCESS');
  assert.deepEqual(await ask({ xid: 12, program: 7 }), accepted(12, 1), 'PROG_UNAVAIL');
  assert.deepEqual(await ask({ xid: 13, version: 3 }), accepted(13, 2, 2, 4), 'PROG_MISMATCH with low and high');
  assert.deepEqual(await ask({ xid: 14, procedure: 7 }), accepted(14, 3), 'PROC_UNAVAIL in a hole');
  assert.deepEqual(await ask({ xid: 15, procedure: 0xffffffff }), accepted(15, 3), 'PROC_UNAVAIL beyond the table');
  assert.deepEqual(await ask({ xid: 16, procedure: 3 }), accepted(16, 4), 'GARBAGE_ARGS: none');
  assert.deepEqual(
    await ask({ xid: 17, procedure: 3, arguments: Buffer.alloc(8) }),
    accepted(17, 4),
    'GARBAGE_ARGS: too many',
  );
  assert.deepEqual(await ask({ xid: 18, procedure: 5 }), accepted(18, 5), 'SYSTEM_ERR: the handler throws');
  assert.deepEqual(await ask({ xid: 19, procedure: 4 }), accepted(19, 5), 'SYSTEM_ERR: the reply does not encode');
  assert.deepEqual(await ask({ xid: 20, rpcVersion: 3 }), [20, 1, 1, 0, 2, 2], 'RPC_MISMATCH');
  const denied = (xid: number, status: number): number[] => [xid, 1, 1, 1, status];
  assert.deepEqual(await ask({ xid: 21, flavor: 6, credential: Buffer.alloc(20) }), denied(21, 2), 'unknown flavor');
  assert.deepEqual(await ask({ xid: 22, flavor: 7 }), denied(22, 2), 'AUTH_TLS probe (RFC 9289 4.1)');
  assert.deepEqual(await ask({ xid: 23, flavor: 1, credential: Buffer.alloc(404) }), denied(23, 1), 'over 400 bytes');
  assert.deepEqual(await ask({ xid: 24, flavor: 1, credential: Buffer.alloc(3) }), denied(24, 1), 'too short');
  const seventeen = sysBody(
    1,
    1,
    Array.from({ length: 17 }, (_, i) => i),
  );
  assert.deepEqual(await ask({ xid: 25, flavor: 1, credential: seventeen }), denied(25, 1), '17 groups');
  const trailing = Buffer.concat([sysBody(1, 1), Buffer.alloc(4)]);
  assert.deepEqual(await ask({ xid: 26, flavor: 1, credential: trailing }), denied(26, 1), 'bytes behind the groups');
  assert.deepEqual(await ask({ xid: 27, verifierFlavor: 1 }), denied(27, 3), 'AUTH_BADVERF');
  assert.deepEqual(await ask({ xid: 28, verifier: Buffer.alloc(4) }), denied(28, 3), 'AUTH_BADVERF');
  const sixteen = sysBody(
    77,
    1,
    Array.from({ length: 16 }, (_, i) => i),
  );
  assert.deepEqual(
    await ask({ xid: 29, flavor: 1, credential: sixteen, procedure: 9 }),
    accepted(29, 0, 77),
    '16 groups',
  );
  assert.deepEqual(await ask({ xid: 30, procedure: 9 }), accepted(30, 0, 0xffffffff), 'AUTH_NONE');
  assert.equal(log.lines.filter((line) => line.level === 'error').length, 2);
});

test('a captured NULL call of a Linux client is answered byte for byte', async (t) => {
  const service = new TestService();
  const { peer } = await serve(t, [
    { ...service, program: { ...service.program, program: 100003, version: 3 } } as TestService,
  ]);
  const raw = await peer();
  raw.socket.write(
    Buffer.from(
      `80000028 5b3f2c91 00000000 00000002 000186a3 00000003 00000000 ${'00000000'.repeat(4)}`.replaceAll(' ', ''),
      'hex',
    ),
  );
  assert.equal((await raw.reply())?.toString('hex'), `5b3f2c9100000001${'00000000'.repeat(4)}`);
});

test('a failed encode leaves nothing in front of the next reply', async (t) => {
  const { peer } = await serve(t);
  const raw = await peer();
  raw.send(rawCall({ xid: 1 }), rawCall({ xid: 2, procedure: 4 }), rawCall({ xid: 3 }));
  assert.deepEqual(
    [await raw.words(), await raw.words(), await raw.words()],
    [accepted(1, 0), accepted(2, 5), accepted(3, 0)],
  );
});

test('every split and every fragmentation of a call is understood', async (t) => {
  const { peer } = await serve(t);
  const raw = await peer();
  const message = rawCall({ procedure: 1, flavor: 1, credential: sysBody(1, 2, [3]), arguments: numberArgument(0) });
  let xid = 0;
  for (let split = 1; split < message.length; split++) {
    message.writeUInt32BE(++xid, 0);
    raw.socket.write(framed(message, [split]));
    assert.deepEqual(await raw.words(), accepted(xid, 0, 0), `fragments at ${split}`);
  }
  raw.socket.write(
    framed(
      message,
      Array.from({ length: message.length }, () => 1),
    ),
  );
  assert.equal((await raw.words())?.[5], 0);
});

test('every prefix of a call ends its connection or is answered with an error, and the server goes on', async (t) => {
  const { peer, service, server } = await serve(t);
  const message = rawCall({ procedure: 1, flavor: 1, credential: sysBody(1, 2, [3]), arguments: numberArgument(0) });
  for (let length = 0; length < message.length; length++) {
    const raw = await peer();
    raw.send(message.subarray(0, length));
    const words = await raw.words();
    assert.notEqual(words?.[5], 0, `a prefix of ${length} bytes was accepted`);
    await raw.close();
  }
  assert.equal(service.calls, 0);
  assert.ok(server.stats().violations > 10);
  const raw = await peer();
  raw.send(message);
  assert.deepEqual(await raw.words(), accepted(1, 0, 0));
});

test('violations close that connection, with a reason in the log, after what came before is answered', async (t) => {
  const { peer, log } = await serve(t);
  const other = await peer();
  const cases: [Buffer, RegExp][] = [
    [Buffer.from([0xff, 0xff, 0xff, 0xff]), /above/],
    [Buffer.alloc(4 * (limits.recordFragments + 1)), /fragments/],
    [framed(rawCall({ messageType: 1 })), /not a call/],
    [framed(Buffer.alloc(0)), /does not decode/],
  ];
  for (const [bytes, reason] of cases) {
    const raw = await peer();
    raw.socket.write(Buffer.concat([framed(rawCall({ xid: 5 })), bytes]));
    assert.deepEqual(await raw.words(), accepted(5, 0));
    assert.equal(await raw.words(), undefined);
    assert.match(JSON.stringify(log.lines.at(-1)), reason);
  }
  other.send(rawCall({ xid: 6 }));
  assert.deepEqual(await other.words(), accepted(6, 0));
});

test('random records never stop the server', async (t) => {
  const { peer, server } = await serve(t);
  const valid = rawCall({ procedure: 1, flavor: 1, credential: sysBody(1, 2, [3]), arguments: numberArgument(0) });
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
        fc.tuple(fc.nat(valid.length - 1), fc.nat(255)).map(([at, byte]) => {
          const changed = Buffer.from(valid);
          changed[at] = byte;
          return changed;
        }),
      ),
      fc.boolean(),
      async (bytes, marked) => {
        const raw = await RawPeer.connect(server.address().port);
        raw.socket.write(marked ? framed(bytes) : bytes);
        raw.socket.end();
        await raw.closed;
      },
    ),
    { seed, numRuns: 300 },
  );
  const raw = await peer();
  raw.send(rawCall({ xid: 6 }));
  assert.deepEqual(await raw.words(), accepted(6, 0));
});

test('a held call delays nothing behind it, and a retransmission of it is dropped', async (t) => {
  const { peer, service, server } = await serve(t);
  const raw = await peer();
  raw.send(rawCall({ xid: 1, procedure: 2, arguments: numberArgument(9) }), rawCall({ xid: 2 }));
  assert.deepEqual(await raw.words(), accepted(2, 0));
  raw.send(rawCall({ xid: 1, procedure: 2, arguments: numberArgument(9) }), rawCall({ xid: 3 }));
  assert.deepEqual(await raw.words(), accepted(3, 0));
  assert.equal(server.stats().absorbed, 1);
  service.held.get(9)!(90);
  assert.deepEqual(await raw.words(), accepted(1, 0, 90));
  raw.send(rawCall({ xid: 4 }));
  assert.deepEqual(await raw.words(), accepted(4, 0), 'the held call was answered once');
});

test('thousands of held calls do not stop the reading', async (t) => {
  const { peer } = await serve(t);
  const raw = await peer();
  const held = Array.from({ length: 5000 }, (_, i) =>
    rawCall({ xid: 100 + i, procedure: 2, arguments: numberArgument(i) }),
  );
  raw.send(...held, rawCall({ xid: 1 }));
  assert.deepEqual(await raw.words(), accepted(1, 0));
});

test('a client that never reads costs bounded memory, and others are served; all is released in the end', async (t) => {
  const { peer, service } = await serve(t);
  const greedy = await peer();
  greedy.socket.pause();
  const size = 256 * 1024;
  const calls = 160;
  greedy.send(
    ...Array.from({ length: calls }, (_, i) => rawCall({ xid: i, procedure: 6, arguments: numberArgument(size) })),
  );
  const other = await peer();
  other.send(rawCall({ xid: 1 }));
  assert.deepEqual(await other.words(), accepted(1, 0));
  await eventually(() => service.calls * size >= limits.connectionReplyBytes, 'replies up to the limit');
  const before = service.calls;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(service.calls, before, 'no call is served above the limit');
  assert.ok(service.calls < calls);
  greedy.socket.resume();
  for (let i = 0; i < calls; i++) assert.equal((await greedy.words())?.[0], i);
  await eventually(() => service.released === calls, 'every reply is released');
});

test('replies are released when the connection dies', async (t) => {
  const { peer, service } = await serve(t);
  const raw = await peer();
  raw.socket.pause();
  raw.send(
    rawCall({ xid: 0, procedure: 2, arguments: numberArgument(1) }),
    ...Array.from({ length: 40 }, (_, i) => rawCall({ xid: i, procedure: 6, arguments: numberArgument(1 << 20) })),
  );
  await eventually(() => service.calls > 10, 'calls are served');
  await raw.close();
  service.held.get(1)!(1);
  await eventually(() => service.released === service.calls, 'every reply is released');
});

test('a reply is not released before it has left, whatever leaves before it', async (t) => {
  const { peer, service } = await serve(t);
  const raw = await peer();
  raw.socket.pause();
  const reads = (from: number, count: number): Buffer[] =>
    Array.from({ length: count }, (_, i) =>
      rawCall({ xid: from + i, procedure: 6, arguments: numberArgument(1024 * 1024) }),
    );
  raw.send(...reads(0, 8));
  await eventually(() => service.calls === 8, 'more than the kernel takes');
  // A reply without anything to release waits for its turn; then others queue up behind it.
  raw.send(rawCall({ xid: 8, procedure: 9 }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  raw.send(...reads(9, 4));
  await eventually(() => service.calls === 12, 'the others are served');
  raw.socket.resume();
  for (let xid = 0; xid < 13; xid++) assert.equal((await raw.reply())?.readUInt32BE(0), xid);
  await eventually(() => service.released >= 12, 'every reply is released');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(service.released, 12);
});

test('replies are released once, also when the connection dies while reading is paused', async (t) => {
  const { peer, service } = await serve(t);
  for (let round = 0; round < 25; round++) {
    const raw = await peer();
    raw.socket.pause();
    const sizes = Array.from({ length: 300 }, (_, i) => numberArgument(i % 2 === 0 ? 300_000 : 4000));
    raw.send(...sizes.map((size, xid) => rawCall({ xid, procedure: 6, arguments: size })));
    await new Promise((resolve) => setTimeout(resolve, 40));
    raw.socket.resume();
    for (let i = 0; i < 20; i++) await raw.reply();
    await raw.close();
    await eventually(() => service.released >= service.calls, 'every reply is released');
    assert.equal(service.released, service.calls);
  }
});

test('a peer that ends its side gets what is answered, and its held calls keep no connection', async (t) => {
  const { peer, service, server } = await serve(t);
  const raw = await peer();
  raw.socket.end(
    Buffer.concat([
      framed(rawCall({ xid: 1, procedure: 2, arguments: numberArgument(3) })),
      framed(rawCall({ xid: 2 })),
    ]),
  );
  assert.deepEqual(await raw.words(), accepted(2, 0));
  await raw.closed;
  await eventually(() => server.stats().connections === 0, 'the connection is gone');
  service.held.get(3)!(4);
  await eventually(() => service.released === 1, 'the reply is released');
});

test('large payloads go both ways unharmed', async (t) => {
  const { peer } = await serve(t);
  const raw = await peer();
  const payload = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 31) & 0xff));
  raw.send(rawCall({ xid: 1, procedure: 1, arguments: Buffer.concat([numberArgument(payload.length), payload]) }));
  assert.ok((await raw.reply())?.subarray(28).equals(payload));
});

test('close lets replies under way leave', async (t) => {
  const { peer, service, server } = await serve(t);
  const raw = await peer();
  raw.send(rawCall({ xid: 1, procedure: 2, arguments: numberArgument(3) }));
  await eventually(() => service.held.has(3), 'the call is under way');
  const closed = server.close(2000);
  service.held.get(3)!(4);
  await closed;
  assert.deepEqual(await raw.words(), accepted(1, 0, 4));
  assert.equal(await raw.words(), undefined);
});

test('a port in use and an address of another host have names', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => blocker.once('listening', resolve));
  t.after(() => blocker.close());
  const { server } = await serve(t);
  const { port } = blocker.address() as { port: number };
  await assert.rejects(
    server.listen('127.0.0.1', port),
    (error) => error instanceof ViaductError && error.code === 'ADDRESS_IN_USE',
  );
  await assert.rejects(
    server.listen('203.0.113.1', 0),
    (error) => error instanceof ViaductError && error.code === 'ADDRESS_INVALID',
  );
});

test('versions of one program are those of the table', async (t) => {
  const { peer } = await serve(t, [new TestService(3)]);
  const raw = await peer();
  raw.send(rawCall({ xid: 1, version: testProgram.version }));
  assert.deepEqual(await raw.words(), accepted(1, 2, 3, 3));
});

test('calls held above the memory limit pause reading, and answering them resumes it', async (t) => {
  const service = new TestService();
  const held = service.program.procedures[2]!;
  const greedy = { ...held, replyBytes: () => limits.connectionCallBytes / 4 };
  const procedures = service.program.procedures.with(2, greedy);
  const server = new RpcServer({
    programs: [{ ...service.program, procedures }],
    clock: systemClock,
    log: new KeptLog(),
  });
  const { port } = await server.listen('127.0.0.1', 0);
  t.after(() => server.close(0));
  const raw = await RawPeer.connect(port);
  t.after(() => raw.close());
  raw.send(
    ...Array.from({ length: 6 }, (_, i) => rawCall({ xid: i, procedure: 2, arguments: numberArgument(i) })),
    rawCall({ xid: 10 }),
  );
  await eventually(() => service.held.size === 4, 'four calls fill the limit');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(service.held.size, 4);
  for (let i = 0; i < 3; i++) service.held.get(i)!(i);
  const xids = new Set<number | undefined>();
  for (let i = 0; i < 4; i++) xids.add((await raw.words())?.[0]);
  assert.deepEqual(xids, new Set([0, 1, 2, 10]));
});
