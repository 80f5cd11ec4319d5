/** Cases on attributes: GETATTR, SETATTR, guards, wcc data, times (RFC 1813 3.3.1, 3.3.2). */
import { strict as assert } from 'node:assert';
import { FileType, Status, timeEquals } from '../../vfs/mod.ts';
import { afterOf, alice, callBy, type Define, isBefore, ok, pattern, refused, superuser } from './workbench.ts';

export function attributeCases(define: Define): void {
  define('GETATTR of the root is a directory with at least two links', async (bench) => {
    const attributes = await bench.attributes(bench.filesystem.root);
    assert.equal(attributes.type, FileType.DIRECTORY);
    assert.ok(attributes.nlink >= 2 || attributes.nlink === 1);
    assert.ok(bench.filesystem.root.length > 0 && bench.filesystem.root.length <= 64);
  });

  define('GETATTR tells type, mode, owner, size and link count of a new file', async (bench) => {
    const object = await bench.file('a', pattern(1000), { mode: 0o640 });
    const attributes = await bench.attributes(object);
    assert.equal(attributes.type, FileType.REGULAR);
    assert.equal(attributes.mode, 0o640);
    assert.equal(attributes.size, 1000);
    assert.equal(attributes.nlink, 1);
    assert.equal(attributes.uid, bench.call.credential.uid);
    assert.ok(attributes.used >= 0);
    assert.equal(attributes.fsid, (await bench.attributes(bench.directory)).fsid);
    assert.notEqual(attributes.fileid, (await bench.attributes(bench.directory)).fileid);
  });

  define('attributes in every reply are those that GETATTR gives', async (bench) => {
    const object = await bench.file('a', pattern(10));
    const { filesystem, call } = bench;
    const expected = await bench.attributes(object);
    const found = ok(await filesystem.lookup(call, bench.at('a')));
    assert.equal(found.object, object);
    if (found.attributes) assert.deepEqual(found.attributes, expected);
    const access = ok(await filesystem.access(call, { object, access: 63 }));
    if (access.attributes) assert.deepEqual(access.attributes, expected);
    const committed = ok(await filesystem.commit(call, { object, offset: 0, count: 0 }));
    if (committed.wcc.after) assert.equal(committed.wcc.after.size, expected.size);
  });

  define('a garbage handle is BADHANDLE or STALE in every call on a handle', async (bench) => {
    const { filesystem, call } = bench;
    for (const object of ['x', '\xff'.repeat(64), '\0'.repeat(32), `${bench.directory.slice(0, -1)}\xfe`]) {
      if (object === bench.directory) continue;
      const where = { directory: object, name: 'a' };
      const page = {
        directory: object,
        cookie: 0n,
        cookieVerifier: '\0'.repeat(8),
        directoryBytes: 4096,
        replyBytes: 4096,
      };
      const replies = [
        await filesystem.getattr(call, { object }),
        await filesystem.setattr(call, { object, set: { mode: 0 } }),
        await filesystem.lookup(call, where),
        await filesystem.access(call, { object, access: 63 }),
        await filesystem.readlink(call, { object }),
        await filesystem.read(call, { object, offset: 0, count: 10 }),
        await filesystem.write(call, { object, offset: 0, count: 1, stable: 2, data: [Buffer.from('x')] }),
        await filesystem.create(call, { where, how: { mode: 'unchecked', set: {} } }),
        await filesystem.mkdir(call, { where, set: {} }),
        await filesystem.symlink(call, { where, set: {}, target: 'x' }),
        await filesystem.mknod(call, { where, type: FileType.FIFO, set: {}, deviceMajor: 0, deviceMinor: 0 }),
        await filesystem.remove(call, where),
        await filesystem.rmdir(call, where),
        await filesystem.rename(call, { from: where, to: bench.at('b') }),
        await filesystem.rename(call, { from: bench.at('b'), to: where }),
        await filesystem.link(call, { object, where: bench.at('b') }),
        await filesystem.link(call, { object: await linkable(bench), where }),
        await filesystem.readdir(call, page),
        await filesystem.readdirplus(call, page),
        await filesystem.fsstat(call, { object }),
        await filesystem.fsinfo(call, { object }),
        await filesystem.pathconf(call, { object }),
        await filesystem.commit(call, { object, offset: 0, count: 0 }),
      ];
      for (const reply of replies) refused(reply, Status.BADHANDLE, Status.STALE);
    }
  });

  define('SETATTR changes the mode, and ctime with it', async (bench) => {
    const object = await bench.file('a');
    const before = await bench.attributes(object);
    await bench.pause();
    const { wcc } = await bench.set(object, { mode: 0o4711 });
    const after = afterOf(wcc);
    assert.equal(after.mode, 0o4711);
    assert.ok(isBefore(before.ctime, after.ctime), 'ctime did not move');
    assert.ok(timeEquals(before.mtime, after.mtime), 'mtime moved');
    if (wcc.before) assert.ok(timeEquals(wcc.before.ctime, before.ctime));
    assert.deepEqual(await bench.attributes(object), after);
  });

  define('SETATTR with nothing to set succeeds', async (bench) => {
    const object = await bench.file('a', pattern(5));
    await bench.set(object, {});
    assert.equal((await bench.attributes(object)).size, 5);
  });

  define('SETATTR sets times to those given and to the server time', async (bench) => {
    const object = await bench.file('a');
    const atime = { seconds: 1_000_000_000, nanoseconds: 123_000_000 };
    const mtime = { seconds: 0xf000_0000, nanoseconds: 0 };
    const given = afterOf((await bench.set(object, { atime, mtime })).wcc);
    assert.equal(given.atime.seconds, atime.seconds);
    assert.equal(given.mtime.seconds, mtime.seconds, 'seconds are unsigned');
    const server = afterOf((await bench.set(object, { atime: 'server', mtime: 'server' })).wcc);
    assert.ok(Math.abs(server.mtime.seconds * 1000 - Date.now()) < 60_000, 'not the server time');
    assert.ok(Math.abs(server.atime.seconds * 1000 - Date.now()) < 60_000, 'not the server time');
  });

  define('SETATTR guarded by the right ctime succeeds, by another is NOT_SYNC and changes nothing', async (bench) => {
    const object = await bench.file('a');
    const { ctime } = await bench.attributes(object);
    const wrong = { seconds: ctime.seconds - 1, nanoseconds: ctime.nanoseconds };
    const reply = await bench.filesystem.setattr(bench.call, { object, set: { mode: 0o600 }, guard: wrong });
    refused(reply, Status.NOT_SYNC);
    assert.equal((await bench.attributes(object)).mode, 0o644);
    ok(await bench.filesystem.setattr(bench.call, { object, set: { mode: 0o600 }, guard: ctime }));
    assert.equal((await bench.attributes(object)).mode, 0o600);
  });

  define('SETATTR of size truncates; what is extended reads as zeros', async (bench) => {
    const object = await bench.file('a', pattern(100_000));
    const cut = afterOf((await bench.set(object, { size: 70_001 })).wcc);
    assert.equal(cut.size, 70_001);
    const grown = afterOf((await bench.set(object, { size: 100_000 })).wcc);
    assert.equal(grown.size, 100_000);
    const expected = Buffer.concat([pattern(100_000).subarray(0, 70_001), Buffer.alloc(29_999)]);
    assert.ok((await bench.readAll(object)).equals(expected), 'bytes after truncate and extend');
  });

  define('SETATTR of size moves mtime and ctime', async (bench) => {
    const object = await bench.file('a', pattern(10));
    const before = await bench.attributes(object);
    await bench.pause();
    const { wcc } = await bench.set(object, { size: 3 });
    assert.ok(isBefore(before.mtime, afterOf(wcc).mtime));
    assert.ok(isBefore(before.ctime, afterOf(wcc).ctime));
    if (wcc.before) assert.equal(wcc.before.size, 10);
  });

  define('SETATTR of size on a directory fails', async (bench) => {
    const reply = await bench.filesystem.setattr(bench.call, { object: bench.directory, set: { size: 0 } });
    refused(reply, Status.ISDIR, Status.INVAL);
  });

  define('a size far beyond the capability is refused or holds', async (bench) => {
    const object = await bench.file('a');
    const size = Number.MAX_SAFE_INTEGER;
    const reply = await bench.filesystem.setattr(bench.call, { object, set: { size } });
    if (reply.status === 0) assert.equal((await bench.attributes(object)).size, size);
    else refused(reply, Status.FBIG, Status.INVAL, Status.NOSPC, Status.IO);
  });

  define('a file can be sparse', async (bench) => {
    const object = await bench.file('a');
    const size = bench.capabilities.sizeBytes;
    await bench.set(object, { size });
    assert.ok((await bench.attributes(object)).used < 1024 * 1024, 'space is used for a hole');
    const { bytes, eof } = await bench.read(object, size - 10, 4096);
    assert.deepEqual([bytes.equals(Buffer.alloc(10)), eof], [true, true]);
  });

  define(
    'chown by the superuser clears the set-id bits of a file',
    async (bench) => {
      const object = await bench.file('a', undefined, { mode: 0o755 });
      await bench.set(object, { mode: 0o6755 }, callBy(superuser));
      const { wcc } = await bench.set(object, { uid: 1234, gid: 4321 }, callBy(superuser));
      const after = afterOf(wcc);
      assert.deepEqual([after.uid, after.gid, after.mode], [1234, 4321, 0o755]);
    },
    ['root'],
  );

  define(
    'a write by another user than root clears the set-user-ID bit',
    async (bench) => {
      const object = await bench.file('a', undefined, { mode: 0o777 });
      await bench.set(object, { mode: 0o4777 });
      await bench.write(object, 0, pattern(1));
      assert.equal((await bench.attributes(object)).mode & 0o4000, 0);
      assert.notEqual(bench.call.credential.uid, superuser.uid);
    },
    ['root'],
  );

  define(
    'the owner may change the group only to one of his own',
    async (bench) => {
      const object = await bench.file('a');
      await bench.set(object, { gid: alice.gids[1]! });
      refused(await bench.filesystem.setattr(bench.call, { object, set: { gid: 77 } }), Status.PERM, Status.ACCES);
      refused(await bench.filesystem.setattr(bench.call, { object, set: { uid: 77 } }), Status.PERM, Status.ACCES);
      assert.equal((await bench.attributes(object)).gid, alice.gids[1]);
    },
    ['root'],
  );

  define('FSINFO, FSSTAT and PATHCONF make sense', async (bench) => {
    const { filesystem, call } = bench;
    const object = filesystem.root;
    const info = ok(await filesystem.fsinfo(call, { object }));
    assert.ok(info.readMaximum >= 4096 && info.writeMaximum >= 4096 && info.readdirPreferred >= 512);
    assert.ok(info.readPreferred <= info.readMaximum && info.writePreferred <= info.writeMaximum);
    assert.ok(info.maximumFileBytes >= 2 ** 31);
    assert.ok(info.timeDelta.nanoseconds < 1_000_000_000);
    const stat = ok(await filesystem.fsstat(call, { object }));
    assert.ok(stat.totalBytes >= stat.freeBytes && stat.freeBytes >= stat.availableBytes);
    assert.ok(stat.totalFiles >= stat.freeFiles && stat.freeFiles >= stat.availableFiles);
    const pathconf = ok(await filesystem.pathconf(call, { object }));
    assert.ok(pathconf.nameMaximum >= 64 && pathconf.linkMaximum >= 1);
    assert.equal(pathconf.caseInsensitive, false);
  });
}

async function linkable(bench: Parameters<Parameters<Define>[1]>[0]): Promise<string> {
  const reply = await bench.filesystem.lookup(bench.call, bench.at('linkable'));
  return reply.status === 0 ? reply.object : bench.file('linkable');
}
