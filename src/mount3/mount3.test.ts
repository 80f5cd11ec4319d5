import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { RpcClient, RpcServer } from '../rpc/mod.ts';
import { callBy, DirectCaller, MemoryFilesystem, ok } from '../testing/mod.ts';
import { credential, FileType, Status } from '../vfs/mod.ts';
import { type Codec, XdrError, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { mountClient } from './client.ts';
import { listEntries, MountStatus, mountProgram, mountStatusName, procedures } from './procedures.ts';
import { mount3Program } from './program.ts';

const superuser = credential(0, 0);
const as = { credential: superuser };
const call = callBy(superuser);

/** /golden (0755), /golden/debian, /private (0700), /disk.raw, /link -> golden */
function tree() {
  const memory = new MemoryFilesystem();
  const mkdir = (directory: string, name: string, mode: number): string =>
    ok(memory.mkdir(call, { where: { directory, name }, set: { mode } })).object!;
  const golden = mkdir(memory.root, 'golden', 0o755);
  const debian = mkdir(golden, 'debian', 0o755);
  const secret = mkdir(mkdir(memory.root, 'private', 0o700), 'inner', 0o755);
  const where = (name: string) => ({ directory: memory.root, name });
  ok(memory.create(call, { where: where('disk.raw'), how: { mode: 'guarded', set: {} } }));
  ok(memory.symlink(call, { where: where('link'), set: {}, target: 'golden' }));
  return { memory, golden, debian, secret };
}

describe('MNT', () => {
  const { memory, golden, debian, secret } = tree();
  const caller = new DirectCaller([mount3Program({ filesystem: memory })]);

  for (const [path, object] of [
    ['/', memory.root],
    ['', memory.root],
    ['//', memory.root],
    ['/.', memory.root],
    ['/golden', golden],
    ['golden', golden],
    ['/golden/', golden],
    ['//golden//debian/.', debian],
    ['/golden/debian/..', golden],
    ['/golden/../golden/debian', debian],
    ['/private/inner', secret],
  ] as const) {
    it(`of ${JSON.stringify(path)} gives the handle and the flavors`, async () => {
      assert.deepEqual(await mountClient.mnt(caller, path, as), { status: 0, object, flavors: [1, 0] });
    });
  }

  for (const [path, status] of [
    ['/missing', MountStatus.NOENT],
    ['/golden/missing/x', MountStatus.NOENT],
    ['/disk.raw', MountStatus.NOTDIR],
    ['/disk.raw/x', MountStatus.NOTDIR],
    ['/disk.raw/..', MountStatus.NOTDIR],
    ['/link', MountStatus.NOTDIR],
    ['/link/debian', MountStatus.NOTDIR],
    ['/..', MountStatus.ACCES],
    ['/golden/../..', MountStatus.ACCES],
    ['/golden/../../golden', MountStatus.ACCES],
    ['/a\0b', MountStatus.INVAL],
    [`/${'n'.repeat(256)}`, MountStatus.NAMETOOLONG],
    ['/x'.repeat(2049), MountStatus.NAMETOOLONG],
  ] as const) {
    it(`of ${JSON.stringify(path.slice(0, 40))} is ${mountStatusName(status)}`, async () => {
      assert.deepEqual(await mountClient.mnt(caller, path, as), { status });
    });
  }

  it('walks with the credential of the caller', async () => {
    const other = { credential: credential(1000, 1000) };
    assert.deepEqual(await mountClient.mnt(caller, '/private/inner', other), { status: MountStatus.ACCES });
    assert.equal((await mountClient.mnt(caller, '/private', other)).status, 0);
    assert.equal((await mountClient.mnt(caller, '/golden/debian', other)).status, 0);
  });

  it('finds the type of an entry when LOOKUP does not tell it', async () => {
    const lookup = memory.lookup.bind(memory);
    const reticent = Object.assign(Object.create(memory), {
      lookup: (...args: Parameters<typeof lookup>) => ({ ...lookup(...args), attributes: undefined }),
      getattr: memory.getattr.bind(memory),
    });
    const quiet = new DirectCaller([mount3Program({ filesystem: reticent })]);
    assert.deepEqual(await mountClient.mnt(quiet, '/disk.raw', as), { status: MountStatus.NOTDIR });
    assert.equal((await mountClient.mnt(quiet, '/golden', as)).status, 0);
  });

  it('shows statuses that MOUNT does not have as those that it has', async () => {
    for (const [status, expected] of [
      [Status.STALE, MountStatus.NOENT],
      [Status.JUKEBOX, MountStatus.SERVERFAULT],
      [Status.IO, MountStatus.IO],
    ] as const) {
      const failing = Object.assign(Object.create(memory), { lookup: () => ({ status }) });
      const failed = new DirectCaller([mount3Program({ filesystem: failing })]);
      assert.deepEqual(await mountClient.mnt(failed, '/golden', as), { status: expected });
    }
  });
});

describe('DUMP', () => {
  it('shows who mounted what, until UMNT and UMNTALL', async () => {
    const { memory } = tree();
    const program = mount3Program({ filesystem: memory });
    const one = new DirectCaller([program], '10.0.0.1');
    const two = new DirectCaller([program], '10.0.0.2');
    await mountClient.mnt(one, '/', as);
    await mountClient.mnt(one, '/golden', as);
    await mountClient.mnt(one, '/golden', as);
    await mountClient.mnt(two, '/golden', as);
    await mountClient.mnt(two, '/missing', as);
    assert.deepEqual(await mountClient.dump(two, as), [
      { host: '10.0.0.1', path: '/' },
      { host: '10.0.0.1', path: '/golden' },
      { host: '10.0.0.2', path: '/golden' },
    ]);
    await mountClient.umnt(two, '/', as);
    await mountClient.umnt(two, '/golden', as);
    assert.equal((await mountClient.dump(two, as)).length, 2);
    await mountClient.umntall(one, as);
    assert.deepEqual(await mountClient.dump(one, as), []);
  });

  it('forgets the oldest beyond its bound', async () => {
    const { memory } = tree();
    const caller = new DirectCaller([mount3Program({ filesystem: memory, remembered: 3 })]);
    for (const path of ['/', '/.', '/golden', '//', '/golden/']) await mountClient.mnt(caller, path, as);
    const paths = (await mountClient.dump(caller, as)).map((entry) => entry.path);
    assert.deepEqual(paths, ['/golden', '//', '/golden/']);
  });
});

describe('MOUNT over TCP', () => {
  it('answers NULL, MNT, DUMP and EXPORT', async () => {
    const { memory, golden } = tree();
    const server = new RpcServer({
      programs: [mount3Program({ filesystem: memory })],
      clock: systemClock,
      log: silentLog,
    });
    const { host, port } = await server.listen('127.0.0.1', 0);
    const client = new RpcClient({ host, port, clock: systemClock, log: silentLog, random: seededRandom(2) });
    try {
      await client.call(mountProgram, procedures.null, undefined, as);
      const reply = await mountClient.mnt(client, '/golden', as);
      assert.ok(reply.status === 0);
      assert.equal(reply.object, golden);
      assert.equal(ok(memory.getattr(call, reply)).attributes.type, FileType.DIRECTORY);
      assert.deepEqual(await mountClient.dump(client, as), [{ host: '127.0.0.1', path: '/golden' }]);
      assert.deepEqual(await mountClient.export(client, as), [{ path: '/', groups: [] }]);
    } finally {
      await client.close();
      await server.close();
    }
  });
});

describe('the wire form of MOUNT', () => {
  const seed = 5005;
  const text = (maxLength: number) =>
    fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString('latin1'));
  const handle = fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
  const forms: [string, Codec<unknown>, fc.Arbitrary<unknown>][] = [
    ['dirpath', procedures.mnt.arguments as Codec<unknown>, text(60)],
    [
      'mountres3',
      procedures.mnt.reply as Codec<unknown>,
      fc.oneof(
        fc.record({ status: fc.constant(0), object: handle, flavors: fc.array(fc.nat(), { maxLength: 5 }) }),
        fc.record({ status: fc.constantFrom(...Object.values(MountStatus).filter((status) => status !== 0)) }),
      ),
    ],
    [
      'mountlist',
      procedures.dump.reply as Codec<unknown>,
      fc.array(fc.record({ host: text(20), path: text(40) }), { maxLength: 5 }),
    ],
    [
      'exports',
      procedures.export.reply as Codec<unknown>,
      fc.array(fc.record({ path: text(40), groups: fc.array(text(20), { maxLength: 3 }) }), { maxLength: 4 }),
    ],
  ];
  const encode = (codec: Codec<unknown>, value: unknown): Buffer => {
    const writer = new XdrWriter();
    codec.encode(writer, value);
    return Buffer.concat(writer.take());
  };
  const decode = (codec: Codec<unknown>, chunks: readonly Buffer[]): unknown => {
    const reader = new XdrReader(chunks);
    const value = codec.decode(reader);
    reader.end();
    return value;
  };

  for (const [name, codec, arbitrary] of forms) {
    it(`${name} comes back, at every split, and no prefix of it decodes (seed ${seed})`, () => {
      fc.assert(
        fc.property(arbitrary, (random) => {
          const value = structuredClone(random);
          const bytes = encode(codec, value);
          for (let cut = 0; cut < bytes.length; cut++) {
            assert.deepEqual(decode(codec, [bytes.subarray(0, cut), bytes.subarray(cut)]), value);
            assert.throws(() => decode(codec, [bytes.subarray(0, cut)]), XdrError);
          }
        }),
        { seed, numRuns: 30 },
      );
    });

    it(`${name} never crashes the decoder (seed ${seed})`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
          try {
            decode(codec, [Buffer.from(bytes)]);
          } catch (error) {
            assert.ok(error instanceof XdrError);
          }
        }),
        { seed, numRuns: 500 },
      );
    });
  }

  it('refuses lists, flavors and handles that are out of bounds', () => {
    const entry = { host: 'h', path: 'p' };
    const list = encode(procedures.dump.reply as Codec<unknown>, new Array(listEntries + 1).fill(entry));
    assert.throws(() => decode(procedures.dump.reply, [list]), XdrError);
    const many = { status: 0, object: 'h', flavors: new Array(33).fill(1) };
    assert.throws(() => decode(procedures.mnt.reply, [encode(procedures.mnt.reply as Codec<unknown>, many)]), XdrError);
    const none = { status: 0, object: '', flavors: [] };
    assert.throws(() => decode(procedures.mnt.reply, [encode(procedures.mnt.reply as Codec<unknown>, none)]), XdrError);
  });

  it('reads the MNT call of libnfs 4.0, and an unknown status as SERVERFAULT', () => {
    assert.equal(decode(procedures.mnt.arguments, [Buffer.from('000000072f676f6c64656e00', 'hex')]), '/golden');
    assert.deepEqual(decode(procedures.mnt.reply, [Buffer.from('00000099', 'hex')]), { status: 10006 });
  });
});
