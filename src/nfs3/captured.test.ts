/** Messages as libnfs 4.0 sends them and as its commands accepted them (nfs-ls, nfs-cat, nfs-cp), without their RPC headers. */
import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { FileType } from '../vfs/mod.ts';
import { type Codec, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { procedures } from './table.ts';

const folder = '000000106d656d66c064fbca0000000000000003';
const file = '000000106d656d66c064fbca0000000000000005';
const disk = '000000106d656d66c064fbca0000000000000004';
const [folderHandle, fileHandle, diskHandle] = [folder, file, disk].map((hex) =>
  Buffer.from(hex.slice(8), 'hex').toString('latin1'),
);
const diskAttributes =
  '00000001000001b60000000100000000000000000000000000000014000000000000001400000000000000009bb0624984403b28' +
  '00000000000000046b032631360076826b032631360fb8c06b032631360fb8c0';

function decode<T>(codec: Codec<T>, hex: string): T {
  const reader = new XdrReader([Buffer.from(hex, 'hex')]);
  const value = codec.decode(reader);
  reader.end();
  return value;
}

function encode<T>(codec: Codec<T>, value: T): string {
  const writer = new XdrWriter();
  codec.encode(writer, value);
  return Buffer.concat(writer.take()).toString('hex');
}

/** Both directions of one message. */
function check<T>(codec: Codec<T>, hex: string, look: (value: T) => void): void {
  const value = decode(codec, hex);
  look(value);
  assert.equal(encode(codec, value), hex);
}

describe('arguments that libnfs sends', () => {
  it('LOOKUP', () => {
    check(procedures.lookup.arguments, `${folder}000000086469736b2e726177`, (args) => {
      assert.deepEqual(args, { directory: folderHandle, name: 'disk.raw' });
    });
  });

  it('ACCESS', () => {
    check(procedures.access.arguments, `${disk}00000001`, (args) => {
      assert.deepEqual(args, { object: diskHandle, access: 1 });
    });
  });

  it('READ', () => {
    check(procedures.read.arguments, `${disk}000000000000000000000014`, (args) => {
      assert.deepEqual(args, { object: diskHandle, offset: 0, count: 20 });
    });
  });

  it('CREATE', () => {
    const rest = '000000036e6577000000000100000001000001b00000000000000000000000000000000000000000';
    check(procedures.create.arguments, folder + rest, ({ where, how }) => {
      assert.deepEqual(where, { directory: folderHandle, name: 'new' });
      assert.equal(how.mode, 'guarded');
      assert.equal('set' in how && how.set.mode, 0o660);
    });
  });

  it('SETATTR', () => {
    const rest = '000000000000000000000000000000010000000000000000000000000000000000000000';
    check(procedures.setattr.arguments, file + rest, ({ object, set, guard }) => {
      assert.deepEqual([object, set.size, set.mode, guard], [fileHandle, 0, undefined, undefined]);
    });
  });

  it('WRITE', () => {
    const rest = '0000000000000000000000030000000000000003766d0a00';
    check(procedures.write.arguments, file + rest, (args) => {
      assert.deepEqual([args.object, args.offset, args.count, args.stable], [fileHandle, 0, 3, 0]);
      assert.equal(Buffer.concat(args.data).toString(), 'vm\n');
    });
  });

  it('COMMIT', () => {
    check(procedures.commit.arguments, `${file}000000000000000000000000`, (args) => {
      assert.deepEqual(args, { object: fileHandle, offset: 0, count: 0 });
    });
  });

  it('READDIRPLUS', () => {
    const rest = '000000000000000000000000000000000000200000002000';
    check(procedures.readdirplus.arguments, folder + rest, (args) => {
      assert.deepEqual([args.directory, args.cookie, args.cookieVerifier], [folderHandle, 0n, '\0'.repeat(8)]);
      assert.deepEqual([args.directoryBytes, args.replyBytes], [8192, 8192]);
    });
  });
});

describe('replies that libnfs accepts', () => {
  it('GETATTR', () => {
    check(procedures.getattr.reply, `00000000${diskAttributes}`, (reply) => {
      assert.ok(reply.status === 0);
      const { type, mode, nlink, size, fileid, mtime } = reply.attributes;
      assert.deepEqual([type, mode, nlink, size, fileid], [FileType.REGULAR, 0o666, 1, 20, 4n]);
      assert.deepEqual(mtime, { seconds: 0x6b032631, nanoseconds: 0x360fb8c0 });
    });
  });

  it('ACCESS', () => {
    check(procedures.access.reply, `0000000000000001${diskAttributes}00000001`, (reply) => {
      assert.ok(reply.status === 0);
      assert.equal(reply.access, 1);
    });
  });

  it('READ', () => {
    const rest = '00000014000000010000001468656c6c6f2066726f6d2061207365727665720a';
    check(procedures.read.reply, `0000000000000001${diskAttributes}${rest}`, (reply) => {
      assert.ok(reply.status === 0);
      assert.deepEqual([reply.count, reply.eof], [20, true]);
      assert.equal(Buffer.concat(reply.data).toString(), 'hello from a server\n');
    });
  });
});

describe('a status that RFC 1813 does not know', () => {
  it('is SERVERFAULT, with the failure body', () => {
    const reply = decode(procedures.read.reply, '0000271a00000000');
    assert.deepEqual(reply, { status: 10006, attributes: undefined });
  });
});
