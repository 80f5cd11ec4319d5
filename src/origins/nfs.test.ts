/** The NFS origin against servers of our own: the compliance suite, the ways to find ports, refusals, outages, impostors. */
import { strict as assert } from 'node:assert';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it, type TestContext, test } from 'node:test';
import { type Log, seededRandom, silentLog, sleep, systemClock, ViaductError } from '../base/mod.ts';
import { mount3Program, mountClient, mountProgram } from '../mount3/mod.ts';
import { nfs3Program, nfsProgram, procedures } from '../nfs3/mod.ts';
import { PortmapServer } from '../portmap/mod.ts';
import { RpcClient, type RpcProgram, RpcServer } from '../rpc/mod.ts';
import {
  callBy,
  eventually,
  FaultLayer,
  filesystemSuite,
  KeptLog,
  MemoryFilesystem,
  ok,
  pattern,
} from '../testing/mod.ts';
import { credential, type Filesystem, Status } from '../vfs/mod.ts';
import { type NfsOriginOptions, openNfsOrigin } from './nfs.ts';

const superuser = credential(0, 0);
const call = callBy(superuser);
const context = { clock: systemClock, log: silentLog, random: seededRandom(5), credential: superuser };
const host = '127.0.0.1';
/** Nothing listens there: the test must not meet the portmapper of this machine. */
const noPortmapper = 9;

function programs(filesystem: Filesystem): RpcProgram[] {
  return [nfs3Program(filesystem), mount3Program({ filesystem })];
}

async function serve(served: readonly RpcProgram[], port = 0): Promise<{ server: RpcServer; port: number }> {
  const server = new RpcServer({ programs: served, clock: systemClock, log: silentLog });
  return { server, port: (await server.listen(host, port)).port };
}

async function serving(t: TestContext, served: readonly RpcProgram[]): Promise<number> {
  const { server, port } = await serve(served);
  t.after(() => server.close());
  return port;
}

function open(port: number | undefined, more: Partial<NfsOriginOptions> & { path?: string; mountPort?: number } = {}) {
  const { path = '/', mountPort, ...options } = more;
  const address = { kind: 'nfs', host, port, mountPort, path } as const;
  return openNfsOrigin({ ...context, address, portmapPort: noPortmapper, openTimeoutMs: 3_000, ...options });
}

async function fails(opening: Promise<unknown>, code: string, cause: RegExp): Promise<ViaductError> {
  const error: unknown = await opening.then(
    () => assert.fail('it opened'),
    (reason: unknown) => reason,
  );
  assert(error instanceof ViaductError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, cause);
  return error;
}

filesystemSuite('the NFS origin', async () => {
  const memory = new MemoryFilesystem({ volatile: true, poisonReleased: true });
  const { server, port } = await serve(programs(memory));
  const filesystem = await open(port);
  return {
    filesystem,
    async cleanup() {
      await filesystem.close();
      await server.close();
      assert.equal(memory.unreleased, 0);
    },
  };
});

describe('finding the ports', () => {
  it('of a server that has NFS and MOUNT on one port needs no portmapper', async (t) => {
    const memory = new MemoryFilesystem();
    const origin = await open(await serving(t, programs(memory)));
    t.after(() => origin.close());
    assert.equal(origin.root, memory.root);
    assert.match(origin.identity, /^nfs:127\.0\.0\.1:[0-9a-f]+$/);
  });

  it('takes the port of MOUNT from the address', async (t) => {
    const memory = new MemoryFilesystem();
    const port = await serving(t, [nfs3Program(memory)]);
    const origin = await open(port, { mountPort: await serving(t, [mount3Program({ filesystem: memory })]) });
    t.after(() => origin.close());
    ok(await origin.getattr(call, { object: origin.root }));
  });

  it('asks the portmapper', async (t) => {
    const memory = new MemoryFilesystem();
    const nfsPort = await serving(t, [nfs3Program(memory)]);
    const mountPort = await serving(t, [mount3Program({ filesystem: memory })]);
    const mappings = [
      { ...nfsProgram, protocol: 6, port: nfsPort },
      { ...mountProgram, protocol: 6, port: mountPort },
    ];
    const portmap = new PortmapServer({ host, port: 0, mappings, clock: systemClock, log: silentLog });
    const { port: portmapPort } = await portmap.listen();
    t.after(() => portmap.close());
    for (const port of [undefined, nfsPort]) {
      const origin = await open(port, { portmapPort });
      t.after(() => origin.close());
      ok(await origin.getattr(call, { object: origin.root }));
    }
  });

  it('says so when there is no MOUNT', async (t) => {
    const port = await serving(t, [nfs3Program(new MemoryFilesystem())]);
    const error = await fails(open(port), 'ORIGIN_UNREACHABLE', /no MOUNT service/);
    assert.match(error.remedy, /mountport/);
  });

  it('mounts a sub-directory', async (t) => {
    const memory = new MemoryFilesystem();
    const where = { directory: memory.root, name: 'images' };
    const { object } = ok(memory.mkdir(call, { where, set: { mode: 0o755 } }));
    const origin = await open(await serving(t, programs(memory)), { path: '/images' });
    t.after(() => origin.close());
    assert.equal(origin.root, object);
  });
});

/** Something that is no RPC server. */
async function listening(t: TestContext, meet: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    meet(socket);
    t.after(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('closing an origin that is away leaves the calls that wait for it unanswered, and is no bug', async (t) => {
  const { server, port } = await serve(programs(new MemoryFilesystem()));
  const origin = await open(port);
  const log = new KeptLog();
  const proxy = new RpcServer({ programs: programs(origin), clock: systemClock, log });
  t.after(() => proxy.close(0));
  const options = { ...context, host, port: (await proxy.listen(host, 0)).port };
  await server.close();
  const clients = [new RpcClient(options), new RpcClient(options)] as const;
  let answers = 0;
  const count = (): number => answers++;
  const waiting = [
    mountClient.mnt(clients[0], '/images', { credential: superuser }),
    clients[1].call(nfsProgram, procedures.getattr, { object: origin.root }, { credential: superuser }),
    clients[1].call(nfsProgram, procedures.remove, { directory: origin.root, name: 'a' }, { credential: superuser }),
  ];
  const settled = waiting.map((call) => call.then(count, () => undefined));
  await eventually(() => origin.stats().outstanding === 3, 'the calls wait');
  await origin.close();
  await sleep(systemClock, 20);
  for (const client of clients) await client.close();
  await Promise.all(settled);
  assert.equal(answers, 0);
  assert.deepEqual(
    log.lines.filter((line) => line.level === 'error'),
    [],
  );
});

describe('an origin that cannot be opened', () => {
  it('because nobody listens is ORIGIN_UNREACHABLE', async () => {
    const { server, port } = await serve([]);
    await server.close();
    await fails(open(port), 'ORIGIN_UNREACHABLE', /cannot be reached/);
  });

  it('because the server ends the connection tells of --allow', async (t) => {
    const port = await listening(t, (socket) => socket.resetAndDestroy());
    assert.match((await fails(open(port), 'ORIGIN_UNREACHABLE', /cannot be reached/)).remedy, /--allow/);
  });

  it('because another service answers says so', async (t) => {
    const port = await listening(t, (socket) => socket.write('SSH-2.0-OpenSSH_9.6\r\n'));
    assert.match((await fails(open(port), 'ORIGIN_UNREACHABLE', /no NFS server/)).remedy, /port/);
  });

  it('because the path is not exported is ORIGIN_REFUSED with the status', async (t) => {
    const port = await serving(t, programs(new MemoryFilesystem()));
    await fails(open(port, { path: '/missing' }), 'ORIGIN_REFUSED', /MNT3ERR_NOENT/);
  });

  it('because the server refuses this host is told about source ports', async (t) => {
    const memory = new MemoryFilesystem();
    const port = await serving(t, [nfs3Program(memory), mountAnswering({ status: 13 })]);
    const error = await fails(open(port, { privilegedPort: false }), 'ORIGIN_REFUSED', /MNT3ERR_ACCES/);
    assert.match(error.remedy, /below 1024/);
  });

  it('because it wants Kerberos is told about sec=sys', async (t) => {
    const memory = new MemoryFilesystem();
    const kerberos = { status: 0, object: memory.root, flavors: [390_003, 390_004] } as const;
    const port = await serving(t, [nfs3Program(memory), mountAnswering(kerberos)]);
    const error = await fails(open(port, { privilegedPort: false }), 'ORIGIN_REFUSED', /390003, 390004/);
    assert.match(error.remedy, /sec=sys/);
  });

  it('because the root is refused after a good MNT is ORIGIN_REFUSED', async (t) => {
    const memory = new MemoryFilesystem();
    const stranger = { status: 0, object: 'stranger', flavors: [] } as const;
    const port = await serving(t, [nfs3Program(memory), mountAnswering(stranger)]);
    await fails(open(port, { privilegedPort: false }), 'ORIGIN_REFUSED', /FSINFO/);
  });

  it('because it never answers is TIMED_OUT', async (t) => {
    const silent = mountProgramWith(() => new Promise(() => {}));
    const port = await serving(t, [silent]);
    await fails(open(port, { openTimeoutMs: 300 }), 'TIMED_OUT', /did not answer/);
  });

  it('a server that wants a source port below 1024 is asked again from one', {
    skip: process.getuid?.() !== 0,
  }, async (t) => {
    const memory = new MemoryFilesystem();
    const ports: number[] = [];
    const picky = mountProgramWith((peerPort) => {
      ports.push(peerPort);
      return peerPort < 1024 ? { status: 0, object: memory.root, flavors: [1] } : { status: 13 };
    });
    const port = await serving(t, [nfs3Program(memory), picky]);
    const origin = await open(port);
    t.after(() => origin.close());
    assert.equal(ports.length, 2);
    ok(await origin.getattr(call, { object: origin.root }));
  });
});

describe('an origin that goes and comes back', () => {
  it('holds calls, goes on, and tells that it may have restarted before the first reply', async (t) => {
    const memory = new MemoryFilesystem();
    const { server, port } = await serve(programs(memory));
    const origin = await open(port, { connections: 2 });
    t.after(() => origin.close());
    const events: string[] = [];
    origin.listen({ onReconnect: () => events.push('reconnected') });
    ok(await origin.getattr(call, { object: origin.root }));
    await server.close();
    const held = Promise.resolve(origin.getattr(call, { object: origin.root })).then((reply) => {
      events.push('reply');
      return reply;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(events, []);
    const again = await serve(programs(memory), port);
    t.after(() => again.server.close());
    ok(await held);
    assert.deepEqual(events, ['reconnected', 'reply']);
    assert.equal(origin.stats().foreign, false);
  });

  it('with another file system is answered STALE, without a mutation reaching it, until the first one returns', async (t) => {
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (_fields, message) => errors.push(message) };
    const memory = new MemoryFilesystem({ identity: 'first' });
    const { server, port } = await serve(programs(memory));
    const origin = await open(port, { log });
    t.after(() => origin.close());
    ok(await origin.getattr(call, { object: origin.root }));
    await server.close();

    // The same handles on another file system: what a restored snapshot on a new disk looks like.
    const impostor = new FaultLayer(memory);
    impostor.on('getattr', async (_args, proceed) => {
      const reply = await proceed();
      return reply.status === 0 ? { status: 0, attributes: { ...reply.attributes, fsid: 4711n } } : reply;
    });
    const second = await serve(programs(impostor), port);
    assert.equal((await origin.getattr(call, { object: origin.root })).status, Status.STALE);
    const where = { directory: origin.root, name: 'a' };
    const refused = await origin.create(call, { where, how: { mode: 'guarded', set: {} } });
    assert.deepEqual(refused, { status: Status.STALE, directoryWcc: {} });
    assert.equal(impostor.calls('create'), 0);
    assert.equal(origin.stats().foreign, true);
    assert.match(errors.join('\n'), /another file system/);
    await second.server.close();

    const third = await serve(programs(memory), port);
    t.after(() => third.server.close());
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    ok(await origin.create(call, { where, how: { mode: 'guarded', set: {} } }));
    assert.equal(origin.stats().foreign, false);
  });

  it('and whose root is gone is answered STALE', async (t) => {
    const { server, port } = await serve(programs(new MemoryFilesystem({ identity: 'first' })));
    const origin = await open(port);
    t.after(() => origin.close());
    ok(await origin.getattr(call, { object: origin.root }));
    await server.close();
    const other = await serve(programs(new MemoryFilesystem({ identity: 'second' })), port);
    t.after(() => other.server.close());
    assert.equal((await origin.access(call, { object: origin.root, access: 1 })).status, Status.STALE);
  });

  it('moves whole payloads over several connections', async (t) => {
    const memory = new MemoryFilesystem();
    const origin = await open(await serving(t, programs(memory)), { connections: 3 });
    t.after(() => origin.close());
    const where = { directory: origin.root, name: 'big' };
    const object = ok(await origin.create(call, { where, how: { mode: 'guarded', set: {} } })).object!;
    const data = pattern(3 * 1024 * 1024);
    const mega = 1024 * 1024;
    await Promise.all(
      [0, mega, 2 * mega].map((offset) =>
        origin.write(call, { object, offset, count: mega, stable: 2, data: [data.subarray(offset, offset + mega)] }),
      ),
    );
    const replies = await Promise.all(
      [0, mega, 2 * mega].map(async (offset) => ok(await origin.read(call, { object, offset, count: mega }))),
    );
    assert(Buffer.concat(replies.flatMap((reply) => reply.data)).equals(data));
    assert(origin.stats().connected > 1);
  });
});

function mountAnswering(reply: object): RpcProgram {
  return mountProgramWith(() => reply);
}

/** A MOUNT service that answers MNT as it is told. */
function mountProgramWith(answer: (peerPort: number) => unknown): RpcProgram {
  const real = mount3Program({ filesystem: new MemoryFilesystem() });
  const mnt = real.procedures[1]!;
  return { ...real, procedures: [undefined, { ...mnt, handle: (rpcCall) => answer(rpcCall.peerPort) }] };
}
