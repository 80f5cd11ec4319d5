import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { type Link, startLink, startLinkProcess } from './mod.ts';

interface Bed {
  readonly link: Link;
  readonly target: net.Server;
  connect(): Promise<net.Socket>;
  close(): Promise<void>;
}

async function bed(
  serve: (socket: net.Socket) => void,
  shape: { roundTripMs: number; bitsPerSecond?: number },
): Promise<Bed> {
  const served: net.Socket[] = [];
  const target = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    served.push(socket);
    serve(socket);
  });
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  const port = (target.address() as net.AddressInfo).port;
  const link = await startLink({
    routes: [{ listen: { host: '127.0.0.1', port: 0 }, target: { host: '127.0.0.1', port } }],
    clock: systemClock,
    log: silentLog,
    ...shape,
  });
  const sockets: net.Socket[] = [];
  return {
    link,
    target,
    connect: () =>
      new Promise((resolve, reject) => {
        const socket = net.connect({ ...link.addresses[0]!, noDelay: true }, () => resolve(socket));
        socket.on('error', reject);
        sockets.push(socket);
      }),
    async close() {
      for (const socket of [...sockets, ...served]) socket.destroy();
      await link.close();
      await new Promise((resolve) => target.close(resolve));
    },
  };
}

const echo = (socket: net.Socket): void => {
  socket.on('error', () => {});
  socket.pipe(socket);
};

function answerTo(socket: net.Socket, message: Uint8Array): Promise<Buffer> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let length = 0;
    const take = (part: Buffer): void => {
      parts.push(part);
      length += part.length;
      if (length < message.length) return;
      socket.off('data', take);
      resolve(Buffer.concat(parts));
    };
    socket.on('data', take);
    socket.write(message);
  });
}

test('a request and its reply take the round-trip time, the first one a handshake more', async () => {
  const there = await bed(echo, { roundTripMs: 40 });
  /** Never quicker than the link; a busy machine may be slower for a while. */
  const quickest = async (leastMs: number, mostMs: number, action: () => Promise<unknown>): Promise<void> => {
    let ms = Number.POSITIVE_INFINITY;
    for (let tries = 0; ms >= mostMs && tries < 50; tries++) {
      const started = performance.now();
      await action();
      ms = Math.min(ms, performance.now() - started);
    }
    assert.ok(ms > leastMs && ms < mostMs, `${ms} ms`);
  };
  try {
    let socket: net.Socket | undefined;
    await quickest(78, 100, async () => {
      socket = await there.connect();
      await answerTo(socket, Buffer.from('first'));
    });
    await quickest(38.5, 44, () => answerTo(socket!, Buffer.from('again')));
  } finally {
    await there.close();
  }
});

test('the rate holds for all connections together, each direction by itself, and bytes arrive unchanged', async () => {
  const there = await bed(echo, { roundTripMs: 10, bitsPerSecond: 80e6 });
  try {
    const message = Buffer.alloc(1024 * 1024, 'viaduct link ');
    const sockets = await Promise.all([there.connect(), there.connect(), there.connect()]);
    await Promise.all(sockets.map((socket) => answerTo(socket, Buffer.from('x'))));
    // 3 MiB of payload at 80 Mbit/s on the wire; both directions run at the same time.
    const expected = ((3 * message.length * 8) / 80e6) * (1538 / 1448) * 1000 + 10;
    let rounds = 0;
    let quickest = Number.POSITIVE_INFINITY;
    // Never quicker than the rate; a busy machine may be slower for a while.
    do {
      rounds++;
      const started = performance.now();
      const answers = await Promise.all(sockets.map((socket) => answerTo(socket, message)));
      quickest = Math.min(quickest, performance.now() - started);
      for (const answer of answers) assert.ok(answer.equals(message));
    } while (quickest >= expected * 1.25 && rounds < 20);
    assert.ok(quickest > expected * 0.97 && quickest < expected * 1.25, `${quickest} ms for ${expected}`);
    const counters = there.link.counters();
    assert.equal(counters.forwardBytes, 3 * (rounds * message.length + 1));
    assert.equal(counters.backwardBytes, 3 * (rounds * message.length + 1));
    assert.equal(counters.connectionsOpened, 3);
  } finally {
    await there.close();
  }
});

test('a cut link is silent, keeps its connections, and goes on after it was restored', async () => {
  const there = await bed(echo, { roundTripMs: 4 });
  try {
    const socket = await there.connect();
    await answerTo(socket, Buffer.from('before'));
    there.link.cut();
    let answered = false;
    const answer = answerTo(socket, Buffer.from('during')).then((bytes) => {
      answered = true;
      return bytes;
    });
    const late = there.connect().then((other) => answerTo(other, Buffer.from('late')));
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(answered, false);
    assert.equal(socket.destroyed, false);
    there.link.restore();
    assert.equal((await answer).toString(), 'during');
    assert.equal((await late).toString(), 'late');
  } finally {
    await there.close();
  }
});

test('a receiver that takes nothing stops the sender: the link holds no more than its window', async () => {
  const there = await bed(
    (socket) => {
      socket.on('error', () => {});
      socket.pause();
    },
    { roundTripMs: 2, bitsPerSecond: 8e9 },
  );
  try {
    const socket = await there.connect();
    const block = Buffer.alloc(1024 * 1024);
    let before = -1;
    for (let written = 0; written < 96 && there.link.counters().forwardBytes !== before; written += 8) {
      before = there.link.counters().forwardBytes;
      for (let i = 0; i < 8; i++) socket.write(block);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    assert.ok(there.link.counters().forwardBytes < 24 * 1024 * 1024, `${there.link.counters().forwardBytes}`);
  } finally {
    await there.close();
  }
});

test('the end of a stream comes behind its last byte, and the other direction stays open', async () => {
  const there = await bed(
    (socket) => {
      let length = 0;
      socket.on('data', (bytes) => {
        length += bytes.length;
      });
      socket.on('end', () => socket.end(String(length)));
    },
    { roundTripMs: 6, bitsPerSecond: 100e6 },
  );
  try {
    const socket = await there.connect();
    const reply = new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes;
      });
      socket.on('end', () => resolve(text));
    });
    socket.end(Buffer.alloc(300_000));
    assert.equal(await reply, '300000');
  } finally {
    await there.close();
  }
});

test('a target that refuses or resets is seen by the client as a reset', async () => {
  const there = await bed((socket) => socket.resetAndDestroy(), { roundTripMs: 2 });
  const gone = net.createServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const target = { host: '127.0.0.1', port: (gone.address() as net.AddressInfo).port };
  await new Promise((resolve) => gone.close(resolve));
  const refused = await startLink({
    routes: [{ listen: { host: '127.0.0.1', port: 0 }, target }],
    roundTripMs: 2,
    clock: systemClock,
    log: silentLog,
  });
  try {
    for (const address of [there.link.addresses[0]!, refused.addresses[0]!]) {
      const socket = net.connect(address);
      const code = await new Promise((resolve) => {
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      });
      assert.equal(code, 'ECONNRESET');
    }
    assert.equal(there.link.counters().connectionsOpen, 0);
  } finally {
    await refused.close();
    await there.close();
  }
});

test('a port in use is a named error, and nothing stays behind', async () => {
  const there = await bed(echo, { roundTripMs: 0 });
  try {
    const free = { host: '127.0.0.1', port: 0 };
    const taken = there.link.addresses[0]!;
    const routes = [
      { listen: free, target: taken },
      { listen: taken, target: taken },
    ];
    await assert.rejects(
      startLink({ routes, roundTripMs: 0, clock: systemClock, log: silentLog }),
      (error) => error instanceof ViaductError && error.code === 'ADDRESS_IN_USE',
    );
    await assert.rejects(
      startLinkProcess({ routes: [routes[1]!], roundTripMs: 0 }),
      (error) => error instanceof ViaductError && error.code === 'ADDRESS_IN_USE',
    );
  } finally {
    await there.close();
  }
});

test('the link runs as a process of its own and counts there', async () => {
  const target = net.createServer(echo);
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  const port = (target.address() as net.AddressInfo).port;
  const link = await startLinkProcess({
    routes: [{ listen: { host: '127.0.0.1', port: 0 }, target: { host: '127.0.0.1', port } }],
    roundTripMs: 20,
    bitsPerSecond: 1e9,
  });
  const socket = net.connect(link.addresses[0]!);
  try {
    await answerTo(socket, Buffer.alloc(1000));
    await link.cut();
    await link.restore();
    await answerTo(socket, Buffer.alloc(500));
    const counters = await link.counters();
    assert.deepEqual([counters.forwardBytes, counters.backwardBytes], [1500, 1500]);
  } finally {
    socket.destroy();
    await link.close();
    await new Promise((resolve) => target.close(resolve));
  }
  assert.throws(() => process.kill(link.pid, 0), { code: 'ESRCH' });
});
