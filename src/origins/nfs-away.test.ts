/** A session that starts while its NFS origin is away: with what is remembered of it, or not at all. */
import { strict as assert } from 'node:assert';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { seededRandom, silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { RpcServer } from '../rpc/mod.ts';
import { callBy, eventually, FaultLayer, KeptLog, MemoryFilesystem, ok } from '../testing/mod.ts';
import { credential, type Filesystem, Status } from '../vfs/mod.ts';
import { type NfsOrigin, type NfsOriginOptions, openNfsOrigin } from './nfs.ts';

const superuser = credential(0, 0);
const call = callBy(superuser);
const host = '127.0.0.1';

function stateDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'nfs-away-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function serve(
  t: TestContext,
  filesystem: Filesystem,
  port = 0,
): Promise<{ port: number; close(): Promise<void> }> {
  const programs = [nfs3Program(filesystem), mount3Program({ filesystem })];
  const server = new RpcServer({ programs, clock: systemClock, log: silentLog });
  const listening = await server.listen(host, port);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= server.close();
    return closing;
  };
  t.after(close);
  return { port: listening.port, close };
}

async function open(t: TestContext, port: number, more: Partial<NfsOriginOptions>): Promise<NfsOrigin> {
  const origin = await openNfsOrigin({
    address: { kind: 'nfs', host, port, path: '/' },
    clock: systemClock,
    log: silentLog,
    random: seededRandom(7),
    credential: superuser,
    portmapPort: 9,
    openTimeoutMs: 1_000,
    openPatienceMs: 100,
    ...more,
  });
  t.after(() => origin.close());
  return origin;
}

/** Mounted once, then its server is gone. */
async function remembered(t: TestContext, memory: Filesystem) {
  const state = stateDirectory(t);
  const { port, close } = await serve(t, memory);
  const first = await open(t, port, { stateDirectory: state });
  const { root, identity, readMaximum } = first;
  await first.close();
  await close();
  return { state, port, root, identity, readMaximum };
}

const code = (error: unknown): string | undefined => (error instanceof ViaductError ? error.code : undefined);

test('an origin that is remembered and away: the session starts, its calls wait, and go on when the origin comes', async (t) => {
  const memory = new MemoryFilesystem();
  const { state, port, ...known } = await remembered(t, memory);
  const log = new KeptLog();
  const origin = await open(t, port, { stateDirectory: state, log });
  assert.deepEqual({ root: origin.root, identity: origin.identity, readMaximum: origin.readMaximum }, known);
  assert.equal(origin.stats().opening, true);
  const events: string[] = [];
  origin.listen({
    onLost: () => events.push('lost'),
    onReply: () => events.push('reply'),
    onReconnect: () => events.push('reconnect'),
  });
  assert.deepEqual(events, ['lost']);
  const reply = Promise.resolve(origin.getattr(call, { object: origin.root }));
  await serve(t, memory, port);
  ok(await reply);
  // Whoever keeps unstable data is told before anything else.
  assert.deepEqual(events.slice(0, 3), ['lost', 'reconnect', 'reply']);
  assert.equal(origin.stats().opening, false);
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 0);
});

test('an origin that comes back without being asked for is noticed', async (t) => {
  const memory = new MemoryFilesystem();
  const { state, port } = await remembered(t, memory);
  const origin = await open(t, port, { stateDirectory: state });
  let replies = 0;
  origin.listen({ onReply: () => replies++ });
  await serve(t, memory, port);
  await eventually(() => replies > 0, 'the origin is back');
  assert.equal(origin.stats().opening, false);
});

test('an origin that is silent is taken to be away after a while', async (t) => {
  const memory = new MemoryFilesystem();
  const { state, port } = await remembered(t, memory);
  const sockets: Socket[] = [];
  const silent: Server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  await new Promise<void>((resolve) => silent.listen(port, host, resolve));
  const origin = await open(t, port, { stateDirectory: state, openTimeoutMs: 300 });
  const reply = Promise.resolve(origin.getattr(call, { object: origin.root }));
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => silent.close(resolve));
  await serve(t, memory, port);
  ok(await reply);
});

test('what was said of the root is remembered; PATHCONF and FSSTAT may be missing', async (t) => {
  const memory = new MemoryFilesystem();
  const { state, port } = await remembered(t, memory);
  const about = { object: memory.root };
  const { attributes: _info, ...fsinfo } = ok(memory.fsinfo(call, about));
  const { attributes: _names, ...pathconf } = ok(memory.pathconf(call, about));
  const origin = await open(t, port, { stateDirectory: state });
  const { attributes: _room, ...fsstat } = ok(memory.fsstat(call, about));
  assert.deepEqual(origin.facts, { fsinfo, pathconf, fsstat });
  const file = join(state, readdirSync(state)[0]!);
  const { pathconf: _old, fsstat: _oldRoom, ...older } = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify(older));
  const second = await open(t, port, { stateDirectory: state });
  assert.deepEqual(second.facts, { fsinfo, pathconf: undefined, fsstat: undefined });
});

test('another file system in its place is answered STALE, and no call reaches it', async (t) => {
  const memory = new MemoryFilesystem();
  const { state, port } = await remembered(t, memory);
  const before = readFileSync(join(state, readdirSync(state)[0]!));
  const log = new KeptLog();
  const origin = await open(t, port, { stateDirectory: state, log });
  const where = { directory: origin.root, name: 'a' };
  const refused = Promise.resolve(origin.create(call, { where, how: { mode: 'guarded', set: {} } }));
  // The same handles on another file system.
  const impostor = new FaultLayer(memory);
  impostor.on('getattr', async (_args, proceed) => {
    const reply = await proceed();
    return reply.status === 0 ? { status: 0, attributes: { ...reply.attributes, fsid: 4711n } } : reply;
  });
  const second = await serve(t, impostor, port);
  assert.equal((await refused).status, Status.STALE);
  assert.equal(impostor.calls('create'), 0);
  assert.equal(origin.stats().foreign, true);
  assert(log.lines.some(({ level, message }) => level === 'error' && /another file system/.test(message)));
  assert.deepEqual(readFileSync(join(state, readdirSync(state)[0]!)), before);
  await second.close();
  await serve(t, memory, port);
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  ok(await origin.create(call, { where, how: { mode: 'guarded', set: {} } }));
});

test('without a memory, with a damaged one or one of another address it fails as ever', async (t) => {
  const { state, port } = await remembered(t, new MemoryFilesystem());
  const [name] = readdirSync(state);
  const file = join(state, name!);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await assert.rejects(
    open(t, port, { stateDirectory: stateDirectory(t) }),
    (error) => code(error) === 'ORIGIN_UNREACHABLE',
  );
  await assert.rejects(open(t, port, {}), (error) => code(error) === 'ORIGIN_UNREACHABLE');
  const text = readFileSync(file, 'utf8');
  for (const damaged of [
    text.slice(0, -5),
    text.replace('"fsid":"', '"fsid":"x'),
    text.replace(/nfs:\/\//, 'nfs://other.'),
  ]) {
    writeFileSync(file, damaged);
    await assert.rejects(open(t, port, { stateDirectory: state }), (error) => code(error) === 'ORIGIN_UNREACHABLE');
  }
});

test('an origin that is there and refuses is not started from memory', async (t) => {
  const memory = new MemoryFilesystem();
  const { state, port } = await remembered(t, memory);
  const strict = new FaultLayer(memory);
  strict.on('fsinfo', () => ({ status: Status.ACCES }));
  await serve(t, strict, port);
  const opening = open(t, port, { stateDirectory: state, openPatienceMs: 5_000, privilegedPort: false });
  await assert.rejects(opening, (error) => code(error) === 'ORIGIN_REFUSED');
});

test('a state directory that cannot be had costs a warning', async (t) => {
  const state = join(stateDirectory(t), 'file');
  writeFileSync(state, '');
  const { port } = await serve(t, new MemoryFilesystem());
  const log = new KeptLog();
  await open(t, port, { stateDirectory: state, log });
  assert(log.lines.some(({ level, message }) => level === 'warn' && /cannot be remembered/.test(message)));
});

test('closing an origin that has not come leaves its calls unanswered, and tries no more', async (t) => {
  const memory = new MemoryFilesystem();
  const { state, port } = await remembered(t, memory);
  const origin = await open(t, port, { stateDirectory: state });
  let answered = false;
  Promise.resolve(origin.getattr(call, { object: origin.root })).then(() => {
    answered = true;
  });
  await origin.close();
  const faults = new FaultLayer(memory);
  await serve(t, faults, port);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(answered, false);
  assert.equal(faults.calls('fsinfo'), 0);
});
