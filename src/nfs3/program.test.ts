import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { limits, systemClock } from '../base/mod.ts';
import type { RpcCall, ServedProcedure } from '../rpc/mod.ts';
import { callBy, DirectCaller, MemoryFilesystem, ok, pattern, refused } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { XdrError, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { Nfs3Client } from './client.ts';
import { entryBytes, readdirOverheadBytes } from './procedures/readdir.ts';
import { nfs3Program } from './program.ts';
import { procedures } from './table.ts';

const { Status, FileType } = vfs;
const superuser = vfs.credential(0, 0);
const call = callBy(superuser);
const rpcCall: RpcCall = {
  xid: 1,
  credential: superuser,
  flavor: 'sys',
  peer: '127.0.0.1:700',
  peerAddress: '127.0.0.1',
  peerPort: 700,
};

/** A client whose arguments reach the server as they are: it checks replies, not arguments. */
function serve(filesystem: vfs.Filesystem): Nfs3Client {
  const caller = new DirectCaller([nfs3Program(filesystem)]);
  return new Nfs3Client({ caller, root: filesystem.root, identity: 'x', clock: systemClock });
}

function fileIn(memory: MemoryFilesystem, name = 'a', data: Uint8Array = pattern(10)): string {
  const where = { directory: memory.root, name };
  const object = ok(memory.create(call, { where, how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  ok(memory.write(call, { object, offset: 0, count: data.length, stable: 2, data: [data] }));
  return object;
}

type AnyServed = ServedProcedure<unknown, unknown>;

describe('names that break the rules', () => {
  const memory = new MemoryFilesystem();
  const object = fileIn(memory);
  const client = serve(memory);
  const at = (name: string): vfs.Place => ({ directory: memory.root, name });
  const set = {};
  const fifo = { type: FileType.FIFO, set, deviceMajor: 0, deviceMinor: 0 };

  /** What each procedure answers to one name. */
  async function answers(name: string): Promise<Record<string, string>> {
    const how = { mode: 'unchecked', set } as const;
    const replies = {
      lookup: await client.lookup(call, at(name)),
      create: await client.create(call, { where: at(name), how }),
      mkdir: await client.mkdir(call, { where: at(name), set }),
      symlink: await client.symlink(call, { where: at(name), set, target: 'x' }),
      mknod: await client.mknod(call, { where: at(name), ...fifo }),
      remove: await client.remove(call, at(name)),
      rmdir: await client.rmdir(call, at(name)),
      renameFrom: await client.rename(call, { from: at(name), to: at('z') }),
      renameTo: await client.rename(call, { from: at('a'), to: at(name) }),
      link: await client.link(call, { object, where: at(name) }),
    };
    const names = Object.entries(replies).map(([key, { status }]) => [key, vfs.statusName(status).slice(8)]);
    return Object.fromEntries(names);
  }

  for (const [title, name] of [
    ['empty', ''],
    ['with a slash', 'a/b'],
    ['with a NUL', 'a\0b'],
  ] as const) {
    it(`(${title}) are ACCES, or INVAL where RFC 1813 lists it`, async () => {
      assert.deepEqual(await answers(name), {
        lookup: 'ACCES',
        create: 'ACCES',
        mkdir: 'ACCES',
        symlink: 'ACCES',
        mknod: 'ACCES',
        remove: 'ACCES',
        rmdir: 'INVAL',
        renameFrom: 'INVAL',
        renameTo: 'INVAL',
        link: 'INVAL',
      });
    });
  }

  it('(256 bytes) are NAMETOOLONG everywhere', async () => {
    for (const status of Object.values(await answers('n'.repeat(256)))) assert.equal(status, 'NAMETOOLONG');
  });

  it('(. and ..) are for LOOKUP only', async () => {
    const expected = {
      lookup: '',
      create: 'EXIST',
      mkdir: 'EXIST',
      symlink: 'EXIST',
      mknod: 'EXIST',
      remove: 'ACCES',
      renameFrom: 'INVAL',
      renameTo: 'INVAL',
      link: 'EXIST',
    };
    assert.deepEqual(await answers('.'), { ...expected, rmdir: 'INVAL' });
    assert.deepEqual(await answers('..'), { ...expected, rmdir: 'EXIST' });
  });

  it('too long to decode are GARBAGE_ARGS', () => {
    const writer = new XdrWriter();
    procedures.lookup.arguments.encode(writer, at('n'.repeat(100_000)));
    assert.throws(() => procedures.lookup.arguments.decode(new XdrReader(writer.take())), XdrError);
  });

  it('leave the directory as it was', () => {
    const args = { directory: memory.root, cookie: 0n, cookieVerifier: '\0'.repeat(8) };
    const reply = ok(memory.readdir(call, { ...args, directoryBytes: 4096, replyBytes: 4096 }));
    assert.deepEqual(
      reply.entries.map((entry) => entry.name),
      ['.', '..', 'a'],
    );
  });
});

describe('handles', () => {
  it('without bytes are BADHANDLE in every procedure', async () => {
    const memory = new MemoryFilesystem();
    const client = serve(memory);
    const object = '';
    const where = { directory: '', name: 'a' };
    const good = { directory: memory.root, name: 'b' };
    const page = { directory: '', cookie: 0n, cookieVerifier: '\0'.repeat(8), directoryBytes: 4096, replyBytes: 4096 };
    const how = { mode: 'unchecked', set: {} } as const;
    const fifo = { type: FileType.FIFO, set: {}, deviceMajor: 0, deviceMinor: 0 };
    const replies = [
      client.getattr(call, { object }),
      client.setattr(call, { object, set: {} }),
      client.lookup(call, where),
      client.access(call, { object, access: 1 }),
      client.readlink(call, { object }),
      client.read(call, { object, offset: 0, count: 1 }),
      client.write(call, { object, offset: 0, count: 1, stable: 2, data: [pattern(1)] }),
      client.create(call, { where, how }),
      client.mkdir(call, { where, set: {} }),
      client.symlink(call, { where, set: {}, target: 'x' }),
      client.mknod(call, { where, ...fifo }),
      client.remove(call, where),
      client.rmdir(call, where),
      client.rename(call, { from: where, to: good }),
      client.rename(call, { from: good, to: where }),
      client.link(call, { object, where: good }),
      client.link(call, { object: memory.root, where }),
      client.readdir(call, page),
      client.readdirplus(call, page),
      client.fsstat(call, { object }),
      client.fsinfo(call, { object }),
      client.pathconf(call, { object }),
      client.commit(call, { object, offset: 0, count: 0 }),
    ];
    for (const reply of await Promise.all(replies)) refused(reply as { status: number }, Status.BADHANDLE);
  });

  it('of more than 64 bytes are GARBAGE_ARGS', () => {
    const writer = new XdrWriter();
    procedures.getattr.arguments.encode(writer, { object: 'h'.repeat(65) });
    assert.throws(() => procedures.getattr.arguments.decode(new XdrReader(writer.take())), XdrError);
  });

  it('that are forged are refused, each of them', async () => {
    const memory = new MemoryFilesystem();
    fileIn(memory);
    const client = serve(memory);
    for (let position = 0; position < memory.root.length; position++) {
      const byte = String.fromCharCode(memory.root.charCodeAt(position) ^ 0x80);
      const object = memory.root.slice(0, position) + byte + memory.root.slice(position + 1);
      refused(await client.getattr(call, { object }), Status.STALE, Status.BADHANDLE);
      refused(await client.read(call, { object, offset: 0, count: 1 }), Status.STALE, Status.BADHANDLE);
    }
  });
});

describe('offsets and counts', () => {
  it('of READ beyond 2^53 are the end of the file, of a file that may be read', async () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory);
    const client = serve(memory);
    for (const offset of [2 ** 53, 2 ** 63, 2 ** 63 + 2 ** 12]) {
      const reply = ok(await client.read(call, { object, offset, count: 4096 }));
      assert.deepEqual([reply.count, reply.eof, reply.attributes?.size], [0, true, 10]);
      refused(await client.read(call, { object: memory.root, offset, count: 1 }), Status.ISDIR);
      refused(await client.read(call, { object: 'gone', offset, count: 1 }), Status.BADHANDLE);
    }
    ok(memory.setattr(call, { object, set: { mode: 0 } }));
    const other = callBy(vfs.credential(5, 5));
    refused(await client.read(other, { object, offset: 2 ** 60, count: 1 }), Status.ACCES);
  });

  it('of READ over the largest transfer give a short reply', async () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory, 'a', pattern(limits.transferBytes + 100));
    const served = nfs3Program(memory).procedures[6] as AnyServed;
    const reply = (await served.handle(rpcCall, { object, offset: 0, count: 0xffff_ffff })) as vfs.ReadReply;
    assert.ok(reply.status === 0 && reply.count === limits.transferBytes && !reply.eof);
  });

  it('of READ that end beyond 2^53 are cut', async () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory);
    const reply = ok(await serve(memory).read(call, { object, offset: Number.MAX_SAFE_INTEGER - 1, count: 100 }));
    assert.deepEqual([reply.count, reply.eof], [0, true]);
  });

  it('of WRITE beyond 2^53 are FBIG', async () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory);
    for (const offset of [Number.MAX_SAFE_INTEGER, 2 ** 53, 2 ** 63]) {
      const args = { object, offset, count: 1, stable: 2, data: [pattern(1)] } as const;
      refused(await serve(memory).write(call, args), Status.FBIG);
    }
    const size = 2 ** 60;
    refused(await serve(memory).setattr(call, { object, set: { size } }), Status.FBIG);
  });

  it('of WRITE that do not match the data are INVAL', async () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory);
    for (const count of [0, 9, 11, 0xffff_ffff]) {
      const args = { object, offset: 0, count, stable: 2, data: [pattern(10, 2)] } as const;
      const reply = await (nfs3Program(memory).procedures[7] as AnyServed).handle(rpcCall, args);
      refused(reply as vfs.WriteReply, Status.INVAL);
    }
  });

  it('of COMMIT beyond 2^53 mean the whole file', async () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory);
    ok(await serve(memory).commit(call, { object, offset: 2 ** 63, count: 4096 }));
  });

  it('of times with 10^9 nanoseconds are INVAL', async () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory);
    const mtime = { seconds: 1, nanoseconds: 1_000_000_000 };
    refused(await serve(memory).setattr(call, { object, set: { mtime } }), Status.INVAL);
  });
});

describe('other arguments', () => {
  it('of MKNOD for ordinary files are BADTYPE', async () => {
    const memory = new MemoryFilesystem();
    const where = { directory: memory.root, name: 'x' };
    for (const type of [FileType.REGULAR, FileType.DIRECTORY, FileType.SYMLINK]) {
      const args = { where, type, set: {}, deviceMajor: 0, deviceMinor: 0 };
      refused(await serve(memory).mknod(call, args), Status.BADTYPE);
    }
  });

  it('of SYMLINK without a target or with a NUL are INVAL, over 4096 bytes NAMETOOLONG', async () => {
    const memory = new MemoryFilesystem();
    const where = { directory: memory.root, name: 'x' };
    for (const target of ['', 'a\0b']) {
      refused(await serve(memory).symlink(call, { where, set: {}, target }), Status.INVAL);
    }
    refused(await serve(memory).symlink(call, { where, set: {}, target: 'x'.repeat(4097) }), Status.NAMETOOLONG);
  });

  it('of ACCESS come back as a subset, whatever the Filesystem grants', async () => {
    class Generous extends vfs.ForwardingFilesystem {
      override access(): vfs.AccessReply {
        return { status: 0, access: 0xff };
      }
    }
    const memory = new MemoryFilesystem();
    const served = nfs3Program(new Generous(memory)).procedures[4] as AnyServed;
    const reply = await served.handle(rpcCall, { object: memory.root, access: 5 });
    assert.deepEqual(reply, { status: 0, attributes: undefined, access: 5 });
  });
});

describe('a page of a directory', () => {
  /** Gives all its entries whatever was asked for. */
  class Boundless extends vfs.ForwardingFilesystem {
    #all(args: vfs.ReaddirArguments): vfs.ReaddirArguments {
      return { ...args, directoryBytes: 1_000_000, replyBytes: 1_000_000 };
    }
    override readdir(caller: vfs.Call, args: vfs.ReaddirArguments) {
      return super.readdir(caller, this.#all(args));
    }
    override readdirplus(caller: vfs.Call, args: vfs.ReaddirArguments) {
      return super.readdirplus(caller, this.#all(args));
    }
  }
  const memory = new MemoryFilesystem();
  for (let i = 0; i < 100; i++) fileIn(memory, `file-${'x'.repeat(i)}`);
  const program = nfs3Program(new Boundless(memory));
  const start = { directory: memory.root, cookie: 0n, cookieVerifier: '\0'.repeat(8) };

  async function page(number: 16 | 17, args: vfs.ReaddirArguments): Promise<[vfs.ReaddirReply, number]> {
    const served = program.procedures[number] as AnyServed;
    const reply = (await served.handle(rpcCall, args)) as vfs.ReaddirReply;
    const writer = new XdrWriter();
    served.procedure.reply.encode(writer, reply);
    return [reply, writer.length() - 4];
  }

  it('is as long as the limit allows and not longer', async () => {
    for (const limit of [512, 1000, 1001, 4096, 10_000]) {
      for (const number of [16, 17] as const) {
        const [reply, bytes] = await page(number, { ...start, directoryBytes: limit, replyBytes: limit });
        assert.ok(reply.status === 0 && reply.entries.length > 0);
        assert.ok(bytes <= limit, `${bytes} bytes of ${limit}`);
        if (!reply.eof && number === 16) {
          const next = entryBytes({ fileid: 0n, cookie: 0n, name: `file-${'x'.repeat(reply.entries.length - 2)}` });
          assert.ok(bytes + next > limit, 'one more entry would have fitted');
        }
      }
    }
  });

  it('counts its bytes as they are on the wire', async () => {
    const [reply, bytes] = await page(16, { ...start, directoryBytes: 4096, replyBytes: 4096 });
    assert.ok(reply.status === 0);
    const entries = reply.entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
    assert.equal(bytes, readdirOverheadBytes(reply) + entries);
  });

  it('keeps dircount of READDIRPLUS too', async () => {
    const [few] = await page(17, { ...start, directoryBytes: 100, replyBytes: 10_000 });
    assert.ok(few.status === 0 && few.entries.length === 3, 'fileid, name and cookie of three entries are 84 bytes');
  });

  it('that has room for no entry is TOOSMALL', async () => {
    for (const number of [16, 17] as const) {
      const [reply] = await page(number, { ...start, directoryBytes: 100, replyBytes: 100 });
      refused(reply, Status.TOOSMALL);
    }
  });

  it('is never longer than the server builds', async () => {
    const large = 0xffff_ffff;
    const [, bytes] = await page(17, { ...start, directoryBytes: large, replyBytes: large });
    assert.ok(bytes <= limits.directoryReplyBytes);
  });
});

describe('replies', () => {
  it('of a Filesystem that answers at once are there at once', () => {
    const memory = new MemoryFilesystem();
    const object = fileIn(memory);
    const { procedures: served } = nfs3Program(memory);
    const handle = (number: number, args: unknown) => (served[number] as AnyServed).handle(rpcCall, args);
    const where = { directory: memory.root, name: 'a' };
    for (const reply of [
      handle(1, { object }),
      handle(3, where),
      handle(4, { object, access: 63 }),
      handle(6, { object, offset: 0, count: 10 }),
      handle(7, { object, offset: 0, count: 1, stable: 0, data: [pattern(1)] }),
    ]) {
      assert.ok(!(reply instanceof Promise));
      assert.equal((reply as { status: number }).status, 0);
    }
  });

  it('of READ are released through the served procedure', async () => {
    const memory = new MemoryFilesystem({ poisonReleased: true });
    const object = fileIn(memory);
    const served = nfs3Program(memory).procedures[6] as AnyServed;
    const reply = await served.handle(rpcCall, { object, offset: 0, count: 10 });
    assert.equal(memory.unreleased, 1);
    served.release!(reply);
    assert.equal(memory.unreleased, 0);
    served.release!({ status: Status.IO });
  });

  it('of FSINFO never promise more than the server takes', async () => {
    class Vast extends vfs.ForwardingFilesystem {
      override async fsinfo(caller: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.FsinfoReply> {
        const reply = ok(await super.fsinfo(caller, args));
        return { ...reply, readMaximum: 1 << 30, writeMaximum: 1 << 30, writePreferred: 1 << 30 };
      }
    }
    const memory = new MemoryFilesystem();
    const info = ok(await serve(new Vast(memory)).fsinfo(call, { object: memory.root }));
    assert.deepEqual([info.readMaximum, info.writeMaximum], [limits.transferBytes, limits.transferBytes]);
    assert.equal(info.writePreferred, limits.transferBytes);
  });
});
