/** Name operations whose replies are lost with their connection, against a server without a duplicate request cache. */
import { strict as assert } from 'node:assert';
import { connect, createServer, type Socket } from 'node:net';
import { it } from 'node:test';
import { seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { RpcClient, RpcServer } from '../rpc/mod.ts';
import { callBy, MemoryFilesystem, ok } from '../testing/mod.ts';
import { credential } from '../vfs/mod.ts';
import { Nfs3Client } from './client.ts';
import { nfs3Program } from './program.ts';

const call = callBy(credential(0, 0));

/** Passes everything on, but for the next `losses` replies: then both ends are cut, after the server has answered. */
async function startLossyRelay(port: number) {
  const relay = { losses: 0, lost: 0, port: 0, close: async () => {} };
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => {
      if (relay.losses === 0) return client.write(bytes);
      relay.losses--;
      relay.lost++;
      return client.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  relay.port = address.port;
  relay.close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return relay;
}

it('a name operation whose reply is lost with its connection succeeds once', { timeout: 10_000 }, async () => {
  const memory = new MemoryFilesystem();
  const log = silentLog;
  const server = new RpcServer({ programs: [nfs3Program(memory)], clock: systemClock, log });
  const { port } = await server.listen('127.0.0.1', 0);
  const relay = await startLossyRelay(port);
  const random = seededRandom(7);
  const caller = new RpcClient({ host: '127.0.0.1', port: relay.port, clock: systemClock, log, random });
  const client = new Nfs3Client({ caller, root: memory.root, identity: 'lossy', clock: systemClock });
  const at = (name: string) => ({ directory: memory.root, name });
  try {
    await client.getattr(call, { object: memory.root });
    relay.losses = 1;
    ok(await client.mkdir(call, { where: at('d'), set: { mode: 0o755 } }));
    relay.losses = 1;
    ok(await client.rename(call, { from: at('d'), to: at('e') }));
    relay.losses = 1;
    ok(await client.rmdir(call, at('e')));
    relay.losses = 1;
    ok(await client.create(call, { where: at('f'), how: { mode: 'guarded', set: { mode: 0o644 } } }));
    assert.equal(relay.lost, 4);
  } finally {
    await client.close();
    await relay.close();
    await server.close();
  }
});

it('a name operation that may have been executed before is not refused for its own work', async () => {
  const memory = new MemoryFilesystem();
  const again = { ...call, isRepeat: true };
  const at = (name: string) => ({ directory: memory.root, name });
  const caller = (isRepeat: boolean) => {
    const program = nfs3Program(memory);
    return (number: number, args: unknown) => {
      const rpcCall = { xid: 1, flavor: 'sys', peer: 'x:1', peerAddress: 'x', peerPort: 1, isRepeat } as const;
      return program.procedures[number]!.handle({ ...rpcCall, credential: again.credential }, args as never);
    };
  };
  const repeated = caller(true);
  const fresh = caller(false);
  const set = { mode: 0o755 };
  const calls: [number, unknown][] = [
    [9, { where: at('folder'), set }],
    [8, { where: at('file'), how: { mode: 'guarded', set } }],
    [10, { where: at('link'), set: {}, target: 'folder' }],
    [14, { from: at('link'), to: at('moved') }],
    [12, at('moved')],
    [13, at('folder')],
  ];
  for (const [number, args] of calls) {
    const statuses = [];
    for (const perform of [fresh, repeated, fresh])
      statuses.push(((await perform(number, args)) as { status: number }).status);
    assert.deepEqual(statuses.slice(0, 2), [0, 0], `procedure ${number}`);
    assert.notEqual(statuses[2], 0, `procedure ${number} by somebody who means it anew`);
  }
});
