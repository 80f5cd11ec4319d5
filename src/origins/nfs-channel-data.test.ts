/** Packed reads and writes, walks and references between an NFS origin and a server of the channel, over sockets. */
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { ChunkIndex, channelProgram, Feature } from '../channel/mod.ts';
import { contentDirectory, digestOf, encodeMeta, metaName } from '../content/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { RpcServer } from '../rpc/mod.ts';
import { callBy, eventually, MemoryFilesystem, ok, pattern, refused } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { openNfsOrigin } from './nfs.ts';

const { Status, Stability } = vfs;
const host = '127.0.0.1';
const superuser = vfs.credential(0, 0);
const call = callBy(superuser);
const other = callBy(vfs.credential(1000, 1000));
const writeBack: vfs.Call = { ...call, priority: 'prefetch' };
const MiB = 1024 * 1024;

/** Notes what reaches the server's stack. */
class Noting extends vfs.ForwardingFilesystem {
  readonly writes: { readonly offset: number; readonly count: number; readonly isConditional: boolean }[] = [];
  refusal: vfs.Failure | undefined;
  override write(by: vfs.Call, args: vfs.WriteArguments) {
    const { offset, count, expected } = args;
    this.writes.push({ offset, count, isConditional: expected !== undefined });
    return this.refusal === undefined ? super.write(by, args) : { status: this.refusal, wcc: {} };
  }
}

async function place(t: TestContext, features: readonly string[] = Object.values(Feature)) {
  const memory = new MemoryFilesystem({ poisonReleased: true });
  const noting = new Noting(memory);
  const tools = { clock: systemClock, log: silentLog };
  const chunks = new ChunkIndex({ filesystem: noting, ...tools });
  const names = { server: 's'.repeat(16), start: 't'.repeat(16) };
  const serve = async (offered: readonly string[], port: number) => {
    const channel = channelProgram({ filesystem: noting, features: offered, chunks, ...names, ...tools });
    const programs = [nfs3Program(noting), mount3Program({ filesystem: noting }), channel];
    const server = new RpcServer({ programs, ...tools });
    t.after(() => server.close());
    return { server, port: (await server.listen(host, port)).port };
  };
  const { server, port } = await serve(features, 0);
  const address = { kind: 'nfs', host, port, path: '/', connections: 2 } as const;
  const random = seededRandom(8);
  const origin = await openNfsOrigin({ address, credential: superuser, hostName: 'me', ...tools, random });
  t.after(() => origin.close());
  return { memory, noting, origin, server, port, serve };
}

async function file(memory: vfs.Filesystem, name: string, content: Uint8Array, mode = 0o644, directory = memory.root) {
  const where = { directory, name };
  const { object } = ok(await memory.create(call, { where, how: { mode: 'guarded', set: { mode } } }));
  assert.ok(object !== undefined);
  for (let offset = 0; offset < content.length; offset += MiB) {
    const data = [content.subarray(offset, offset + MiB)];
    const count = data[0]!.length;
    ok(await memory.write(call, { object, offset, count, stable: Stability.FILE_SYNC, data }));
  }
  return object;
}

async function contentOf(memory: vfs.Filesystem, object: vfs.FileHandle, bytes: number): Promise<Buffer> {
  const reply = ok(await memory.read(call, { object, offset: 0, count: bytes }));
  assert.ok(reply.status === 0);
  const content = Buffer.concat(reply.data);
  reply.release?.();
  return content;
}

function joined(reply: vfs.RangeReply | undefined): Buffer {
  assert.ok(reply?.status === 0);
  return Buffer.concat(reply.data);
}

test('ranges of a file come in one call, zeros and text for next to nothing, each with its own end', async (t) => {
  const { memory, origin } = await place(t);
  const content = Buffer.concat([Buffer.alloc(300_000), Buffer.alloc(200_000, 'some text '), pattern(100_001)]);
  const object = await file(memory, 'disk', content);
  const ranges = [
    { offset: 0, count: 300_000 },
    { offset: 298_000, count: 150_000 },
    { offset: 499_999, count: 1 },
    { offset: 590_000, count: 50_000 },
    { offset: 700_000, count: 10 },
  ];
  const before = origin.stats().bytesIn;
  const reply = await origin.data.readVector(call, { object, ranges });
  const crossed = origin.stats().bytesIn - before;
  assert.ok(reply.status === 0);
  assert.equal(reply.results.length, ranges.length);
  ranges.forEach(({ offset, count }, i) => {
    const result = reply.results[i];
    assert.ok(joined(result).equals(content.subarray(offset, offset + count)), `range ${i}`);
    assert.equal(result?.status === 0 && result.eof, offset + count >= content.length, `end of range ${i}`);
  });
  assert.ok(crossed < 20_000, `${crossed} bytes crossed`);
  const { size } = ok(await memory.getattr(call, { object })).attributes;
  assert.equal(reply.attributes?.size, size);
  assert.equal(memory.unreleased, 0);
});

test('data that does not compress crosses as it is, and what was lent for it is given back', async (t) => {
  const { memory, origin } = await place(t);
  const content = randomBytes(MiB);
  const object = await file(memory, 'disk', content);
  for (let i = 0; i < 3; i++) {
    const ranges = Array.from({ length: 256 }, (_, n) => ({ offset: n * 4096, count: 4096 }));
    const reply = await origin.data.readVector(call, { object, ranges });
    assert.ok(reply.status === 0);
    assert.ok(Buffer.concat(reply.results.map(joined)).equals(content));
  }
  await eventually(() => memory.unreleased === 0, 'all is given back');
});

test('a vectored read has the permissions and errors of a read', async (t) => {
  const { memory, origin } = await place(t);
  const object = await file(memory, 'secret', Buffer.from('secret'), 0o600);
  const ranges = [{ offset: 0, count: 6 }];
  const reply = await origin.data.readVector(other, { object, ranges });
  assert.ok(reply.status === 0);
  assert.deepEqual(reply.results, [{ status: Status.ACCES }]);
  const gone = await origin.data.readVector(call, { object: 'nothing', ranges });
  assert.ok(gone.status === 0 && gone.results[0]?.status !== 0);
  for (const wrong of [
    [],
    [{ offset: 0, count: 0 }],
    [{ offset: 0, count: MiB + 1 }],
    [{ offset: Number.MAX_SAFE_INTEGER, count: 2 }],
    Array.from({ length: 257 }, () => ({ offset: 0, count: 1 })),
  ]) {
    assert.deepEqual(await origin.data.readVector(call, { object, ranges: wrong }), { status: Status.INVAL });
  }
  assert.deepEqual(await origin.data.readVector(call, { object: '', ranges }), { status: Status.BADHANDLE });
});

test('a file that changes while it is read in ranges shows no attributes that its data could be taken for', async (t) => {
  const { memory, noting, origin } = await place(t);
  const object = await file(memory, 'disk', pattern(8192));
  let reads = 0;
  noting.read = async (by: vfs.Call, args: vfs.ReadArguments) => {
    if (++reads === 2) {
      const data = [Buffer.from('new')];
      ok(await memory.write(call, { object, offset: 0, count: 3, stable: Stability.FILE_SYNC, data }));
    }
    return memory.read(by, args);
  };
  const ranges = [
    { offset: 0, count: 4096 },
    { offset: 4096, count: 4096 },
  ];
  const reply = await origin.data.readVector(call, { object, ranges });
  assert.ok(reply.status === 0);
  assert.equal(reply.attributes, undefined);
  const quiet = await origin.data.readVector(call, { object, ranges });
  assert.ok(quiet.status === 0 && quiet.attributes?.size === 8192);
});

test('a path is walked in one call, as far as it goes, with the checks of a look-up at each step', async (t) => {
  const { memory, origin } = await place(t);
  const set = { mode: 0o755 };
  const a = ok(await memory.mkdir(call, { where: { directory: memory.root, name: 'a' }, set })).object!;
  const b = ok(await memory.mkdir(call, { where: { directory: a, name: 'b' }, set: { mode: 0o700 } })).object!;
  const c = await file(memory, 'c', Buffer.from('c'), 0o644, b);
  const directory = memory.root;
  const walk = (names: readonly string[], by = call) => origin.data.walk(by, { directory, names });
  const whole = ok(await walk(['a', 'b', 'c']));
  assert.deepEqual(
    whole.steps.map((step) => step.object),
    [a, b, c],
  );
  assert.equal(whole.steps[2]?.attributes?.size, 1);
  assert.equal(whole.directoryAttributes?.fileid, ok(await memory.getattr(call, { object: b })).attributes.fileid);
  const short = refused(await walk(['a', 'x', 'c']), Status.NOENT);
  assert.deepEqual(
    short.steps.map((step) => step.object),
    [a],
  );
  assert.ok(short.directoryAttributes !== undefined);
  assert.equal(refused(await walk(['a', 'b', 'c'], other), Status.ACCES).steps.length, 2);
  assert.equal(refused(await walk(['a', 'b', 'c', 'd']), Status.NOTDIR).steps.length, 3);
  assert.equal(ok(await walk(['a', '..', 'a', '.', 'b'])).steps[4]?.object, b);
  assert.equal(refused(await walk(['a', 'x/y']), Status.ACCES).steps.length, 1);
  refused(await walk(['x'.repeat(300)]), Status.NAMETOOLONG);
  refused(await walk([]), Status.INVAL);
  refused(await walk(Array.from({ length: 33 }, () => '.')), Status.INVAL);
});

test('write-back’s data crosses packed and arrives as it is; what somebody waits for is sent at once', async (t) => {
  const { memory, noting, origin } = await place(t);
  const object = await file(memory, 'disk', Buffer.alloc(0));
  const content = Buffer.alloc(600_000, 'page after page of much the same; ');
  content.fill(0, 100_000, 400_000);
  const args = { object, offset: 12_345, count: content.length, stable: Stability.FILE_SYNC, data: [content] };
  const sent = () => origin.stats().bytesOut;
  let before = sent();
  const reply = ok(await origin.write(writeBack, args));
  assert.deepEqual([reply.count, reply.committed], [content.length, Stability.FILE_SYNC]);
  assert.ok(sent() - before < 10_000, `${sent() - before} bytes crossed`);
  assert.ok((await contentOf(memory, object, MiB)).subarray(12_345).equals(content));
  assert.deepEqual(noting.writes, [{ offset: 12_345, count: content.length, isConditional: false }]);
  before = sent();
  ok(await origin.write(call, args));
  assert.ok(sent() - before > content.length);
  const noise = randomBytes(600_000);
  ok(await origin.write(writeBack, { ...args, data: [noise] }));
  assert.ok((await contentOf(memory, object, MiB)).subarray(12_345).equals(noise));
  const { size, mtime, ctime } = ok(await memory.getattr(call, { object })).attributes;
  ok(await origin.write(writeBack, { ...args, expected: { size, mtime, ctime } }));
  assert.equal(noting.writes.at(-1)?.isConditional, true);
  noting.refusal = Status.ROFS;
  refused(await origin.write(writeBack, args), Status.ROFS);
});

test('a server that does not take packed data, any more, is sent plain data', async (t) => {
  const { memory, noting, origin, server, port, serve } = await place(t);
  const object = await file(memory, 'disk', Buffer.alloc(0));
  const data = [Buffer.alloc(100_000, 'x')];
  const args = { object, offset: 0, count: 100_000, stable: Stability.FILE_SYNC, data };
  ok(await origin.write(writeBack, args));
  const features = [Feature.WALK];
  await server.close();
  await serve(features, port);
  // It is not known yet.
  assert.equal(origin.channel.features().includes(Feature.PUT), true);
  ok(await origin.write(writeBack, args));
  assert.equal(noting.writes.length, 2);
  await eventually(() => !origin.channel.features().includes(Feature.PUT), 'it is known');
  ok(await origin.write(writeBack, args));
  assert.deepEqual(await origin.data.readVector(call, { object, ranges: [{ offset: 0, count: 1 }] }), {
    status: Status.NOTSUPP,
  });
  refused(await origin.data.have(call, { near: memory.root, digests: [new Uint8Array(16)] }), Status.NOTSUPP);
  assert.equal(origin.data.canWalk(), true);
});

/** Meta-data of a file, as the packer writes it, beside the file. */
async function describeFile(memory: vfs.Filesystem, name: string, object: vfs.FileHandle, content: Buffer) {
  const found = await memory.lookup(call, { directory: memory.root, name: contentDirectory });
  const where = { directory: memory.root, name: contentDirectory };
  const directory =
    found.status === 0 ? found.object : ok(await memory.mkdir(call, { where, set: { mode: 0o755 } })).object!;
  const sectors = content.length / 4096;
  const dataMap = new Uint8Array(Math.ceil(sectors / 8));
  for (let i = 0; i < sectors; i++) dataMap[i >> 3]! |= 1 << (i & 7);
  const digests = Buffer.concat(
    Array.from({ length: sectors }, (_, i) => digestOf(content.subarray(i * 4096, (i + 1) * 4096))),
  );
  const stamp = vfs.stampOfAttributes(ok(await memory.getattr(call, { object })).attributes);
  const chunks = Uint32Array.from({ length: sectors }, (_, i) => i);
  const meta = Buffer.concat([...encodeMeta({ stamp, dataMap, chunks, digests, pack: undefined })]);
  await file(memory, metaName(name)!, meta, 0o644, directory);
}

test('what the server has in other files it fills in by itself, if the caller may read it there', async (t) => {
  const { memory, noting, origin } = await place(t);
  const golden = randomBytes(64 * 4096);
  const sector = (i: number): Buffer => golden.subarray(i * 4096, (i + 1) * 4096);
  await describeFile(memory, 'golden', await file(memory, 'golden', golden), golden);
  const secret = randomBytes(8192);
  await describeFile(memory, 'secret', await file(memory, 'secret', secret, 0o600), secret);
  const changed = randomBytes(4096);
  const stale = await file(memory, 'stale', changed);
  await describeFile(memory, 'stale', stale, changed);
  const write = { object: stale, offset: 0, count: 4, stable: Stability.FILE_SYNC, data: [Buffer.from('else')] };
  ok(await memory.write(call, write));
  const object = await file(memory, 'clone', Buffer.alloc(0), 0o666);
  const near = memory.root;
  const digests = [sector(3), randomBytes(4096), sector(4), secret.subarray(0, 4096), changed].map((one) =>
    digestOf(one),
  );
  const have = async (by: vfs.Call): Promise<boolean[]> => {
    const { found } = ok(await origin.data.have(by, { near, digests }));
    return digests.map((_, i) => found.has(i));
  };
  assert.deepEqual(await have(call), [true, false, true, true, true]);
  assert.deepEqual(await have(other), [true, false, true, false, true]);
  noting.writes.length = 0;
  const offsets = [0, 4096, 8192, 12_288, 40_960];
  const references = digests.map((digest, i) => ({ offset: offsets[i]!, digest }));
  const args = { object, near, stable: Stability.UNSTABLE, references };
  const { reply, written } = ok(await origin.data.writeReferences(other, args));
  // One WRITE, up to what it does not have.
  assert.deepEqual(
    references.map((_, i) => written.has(i)),
    [true, false, false, false, false],
  );
  assert.ok(reply.status === 0 && reply.count === 4096);
  // What it may not read, and what it has no more, is not written.
  for (const [i, isWritten] of [true, false, true, false, false].entries()) {
    const one = ok(await origin.data.writeReferences(other, { ...args, references: [references[i]!] }));
    assert.equal(one.written.has(0), isWritten, `reference ${i}`);
  }
  assert.deepEqual(
    noting.writes.map(({ offset, count }) => [offset, count]),
    [
      [0, 4096],
      [0, 4096],
      [8192, 4096],
    ],
  );
  assert.ok((await contentOf(memory, object, MiB)).equals(Buffer.concat([sector(3), Buffer.alloc(4096), sector(4)])));
  assert.equal(memory.unreleased, 0);
});

test('sectors that follow each other are written at once, from a file onto itself too', async (t) => {
  const { memory, noting, origin } = await place(t);
  const golden = randomBytes(16 * 4096);
  const object = await file(memory, 'golden', golden);
  await describeFile(memory, 'golden', object, golden);
  // The second half onto the first, and the first onto the second.
  const references = Array.from({ length: 16 }, (_, i) => {
    const from = ((i + 8) % 16) * 4096;
    return { offset: i * 4096, digest: digestOf(golden.subarray(from, from + 4096)) };
  });
  const args = { object, near: memory.root, stable: Stability.FILE_SYNC, references };
  noting.refusal = Status.NOSPC;
  refused(await origin.data.writeReferences(call, args), Status.NOSPC);
  noting.refusal = undefined;
  noting.writes.length = 0;
  const { reply, written } = ok(await origin.data.writeReferences(call, args));
  assert.ok(references.every((_, i) => written.has(i)));
  assert.ok(reply.status === 0 && reply.committed === Stability.FILE_SYNC);
  assert.deepEqual(noting.writes, [{ offset: 0, count: 16 * 4096, isConditional: false }]);
  const expected = Buffer.concat([golden.subarray(8 * 4096), golden.subarray(0, 8 * 4096)]);
  assert.ok((await contentOf(memory, object, MiB)).equals(expected));
});

test('a write of what the server said that it has is its digests; what it lacks after all is sent', async (t) => {
  const { memory, noting, origin } = await place(t);
  const golden = randomBytes(64 * 4096);
  const source = await file(memory, 'golden', golden);
  await describeFile(memory, 'golden', source, golden);
  const object = await file(memory, 'clone', Buffer.alloc(0));
  const near = memory.root;
  const digests = Array.from({ length: 64 }, (_, i) => digestOf(golden.subarray(i * 4096, (i + 1) * 4096)));
  assert.equal(ok(await origin.data.have(call, { near, digests })).found.has(63), true);
  const known = { near, digests };
  const args = { object, offset: 8192, count: golden.length, stable: Stability.UNSTABLE, data: [golden], known };
  let before = origin.stats().bytesOut;
  const whole = ok(await origin.write(writeBack, args));
  assert.equal(whole.count, golden.length);
  assert.ok(whole.wcc.before !== undefined && whole.wcc.after?.size === 8192 + golden.length);
  assert.equal(ok(await memory.commit(call, { object, offset: 0, count: 0 })).verifier, whole.verifier);
  assert.ok(origin.stats().bytesOut - before < 4000);
  // The server's file changed since it was described: done in part, as far as it is what it was.
  const write = {
    object: source,
    offset: 40 * 4096,
    count: 4,
    stable: Stability.FILE_SYNC,
    data: [Buffer.from('else')],
  };
  ok(await memory.write(call, write));
  const short = ok(await origin.write(writeBack, { ...args, offset: 1 << 19 }));
  assert.ok(short.count === 40 * 4096 && short.wcc.before !== undefined);
  // Nothing of it any more: nothing was done.
  const rest = { ...args, offset: (1 << 19) + 40 * 4096, count: 4096 * 24, data: [golden.subarray(40 * 4096)] };
  noting.writes.length = 0;
  refused(await origin.write(writeBack, { ...rest, known: { near, digests: digests.slice(40) } }), Status.NOTSUPP);
  assert.deepEqual(noting.writes, []);
  ok(await origin.write(writeBack, { ...rest, known: undefined }));
  const content = await contentOf(memory, object, MiB);
  assert.ok(content.subarray(8192, 8192 + golden.length).equals(golden));
  assert.ok(content.subarray(1 << 19).equals(golden));
  assert.equal(origin.stats().knownWriteBytes, 104 * 4096);
  // Refusals are the WRITE's; digests that are not those of the data's sectors are no hint.
  noting.refusal = Status.NOSPC;
  refused(await origin.write(writeBack, args), Status.NOSPC);
  noting.refusal = undefined;
  for (const wrong of [{ offset: 1 }, { known: { near, digests: digests.slice(1) } }]) {
    before = origin.stats().bytesOut;
    ok(await origin.write(writeBack, { ...args, ...wrong }));
    assert.ok(origin.stats().bytesOut - before > golden.length);
  }
});

test('references that are no sectors in rising order are refused, and so are conditions that nobody checks', async (t) => {
  const { memory, origin } = await place(t, [Feature.HAVE, Feature.PUT]);
  const object = await file(memory, 'clone', Buffer.alloc(0));
  const digest = new Uint8Array(16);
  const near = memory.root;
  const args = { object, near, stable: Stability.UNSTABLE };
  for (const references of [
    [],
    [{ offset: 1, digest }],
    [
      { offset: 4096, digest },
      { offset: 0, digest },
    ],
    [
      { offset: 4096, digest },
      { offset: 4096, digest },
    ],
  ]) {
    refused(await origin.data.writeReferences(call, { ...args, references }), Status.INVAL);
  }
  const { size, mtime, ctime } = ok(await memory.getattr(call, { object })).attributes;
  const expected = { size, mtime, ctime };
  const references = [{ offset: 0, digest }];
  refused(await origin.data.writeReferences(call, { ...args, references, expected }), Status.NOTSUPP);
  const { found } = ok(await origin.data.have(call, { near, digests: [digest] }));
  assert.equal(found.has(0), false);
  const { reply, written } = ok(await origin.data.writeReferences(call, { ...args, references }));
  assert.deepEqual([reply.status === 0 && reply.count, written.has(0)], [0, false]);
});

test('damaged meta-data is of no use and does no harm', async (t) => {
  const { memory, origin } = await place(t);
  const golden = randomBytes(4096);
  await describeFile(memory, 'golden', await file(memory, 'golden', golden), golden);
  const { object: directory } = ok(await memory.lookup(call, { directory: memory.root, name: contentDirectory }));
  for (const [name, content] of [
    ['a', randomBytes(9000)],
    ['b', Buffer.alloc(0)],
    ['c', Buffer.from('short')],
  ] as const) {
    await file(memory, name, Buffer.from('x'));
    await file(memory, metaName(name)!, content, 0o644, directory);
  }
  await file(memory, '.meta', Buffer.from('nameless'), 0o644, directory);
  const digests = [digestOf(golden)];
  const { found } = ok(await origin.data.have(call, { near: memory.root, digests }));
  assert.equal(found.has(0), true);
  // A file is near nothing that is looked through.
  const { object: near } = ok(await memory.lookup(call, { directory: memory.root, name: 'golden' }));
  assert.equal(ok(await origin.data.have(call, { near, digests })).found.has(0), true);
});
