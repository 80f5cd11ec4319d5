/** Cases on names: LOOKUP, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK (RFC 1813 3.3.3, 3.3.5, 3.3.8 to 3.3.15). */
import { strict as assert } from 'node:assert';
import { FileType, Status } from '../../vfs/mod.ts';
import { afterOf, callBy, type Define, isBefore, ok, pattern, refused, superuser } from './workbench.ts';

export function nameCases(define: Define): void {
  lookupCases(define);
  createCases(define);
  linkCases(define);
  removeCases(define);
}

function lookupCases(define: Define): void {
  define('LOOKUP of a name that is not there is NOENT, with the directory attributes', async (bench) => {
    const reply = refused(await bench.filesystem.lookup(bench.call, bench.at('missing')), Status.NOENT);
    if (reply.directoryAttributes) assert.equal(reply.directoryAttributes.type, FileType.DIRECTORY);
  });

  define('LOOKUP in a file is NOTDIR', async (bench) => {
    const object = await bench.file('a');
    refused(await bench.filesystem.lookup(bench.call, bench.at('b', object)), Status.NOTDIR);
  });

  define('LOOKUP of . and .. finds the directory and its parent; .. of the root is the root', async (bench) => {
    const { filesystem, call } = bench;
    const inner = await bench.folder('inner');
    assert.equal(ok(await filesystem.lookup(call, bench.at('.', inner))).object, inner);
    assert.equal(ok(await filesystem.lookup(call, bench.at('..', inner))).object, bench.directory);
    assert.equal(ok(await filesystem.lookup(call, bench.at('..', filesystem.root))).object, filesystem.root);
  });

  define('names of 255 bytes, with spaces, dots and control characters are kept', async (bench) => {
    const names = ['n'.repeat(255), ' ', '...', '.hidden', 'new\nline', 'tab\t', '*?[]', '-rf', 'a\\b', '~'];
    for (const name of names) await bench.file(name, Buffer.from('x'));
    assert.deepEqual(await bench.names(), [...names].sort());
    for (const name of names) assert.ok(await bench.exists(name), JSON.stringify(name));
  });

  define(
    'names that are not UTF-8 are kept byte for byte',
    async (bench) => {
      const names = ['caf\xe9', '\xff\xfe\x80', '\xc3\xa9', 'e\xcc\x81', '\x01\x7f'];
      for (const name of names) await bench.file(name);
      assert.deepEqual(await bench.names(), [...names].sort());
      for (const name of names) ok(await bench.filesystem.remove(bench.call, bench.at(name)));
      assert.deepEqual(await bench.names(), []);
    },
    ['oddNames'],
  );

  define('names that differ in case are different', async (bench) => {
    const lower = await bench.file('case');
    const upper = await bench.file('CASE');
    assert.notEqual(lower, upper);
  });
}

function createCases(define: Define): void {
  define('CREATE gives handle, attributes and wcc data of the directory', async (bench) => {
    const before = await bench.attributes(bench.directory);
    await bench.pause();
    const how = { mode: 'unchecked', set: { mode: 0o600 } } as const;
    const reply = ok(await bench.filesystem.create(bench.call, { where: bench.at('a'), how }));
    const directory = afterOf(reply.directoryWcc);
    assert.ok(isBefore(before.mtime, directory.mtime) && isBefore(before.ctime, directory.ctime));
    const object = await bench.made(reply, bench.at('a'));
    const attributes = await bench.attributes(object);
    assert.equal(attributes.mode, 0o600);
    if (reply.attributes) assert.deepEqual(reply.attributes, attributes);
  });

  define('CREATE GUARDED of a name that is there is EXIST and leaves the file', async (bench) => {
    const object = await bench.file('a', pattern(10));
    const how = { mode: 'guarded', set: { size: 0 } } as const;
    refused(await bench.filesystem.create(bench.call, { where: bench.at('a'), how }), Status.EXIST);
    assert.equal((await bench.attributes(object)).size, 10);
  });

  define('CREATE UNCHECKED of a file that is there keeps it, and truncates it when size 0 is set', async (bench) => {
    const object = await bench.file('a', pattern(10), { mode: 0o640 });
    const where = bench.at('a');
    const kept = await bench.filesystem.create(bench.call, { where, how: { mode: 'unchecked', set: {} } });
    assert.equal(await bench.made(kept, where), object);
    assert.equal((await bench.attributes(object)).size, 10);
    const how = { mode: 'unchecked', set: { size: 0 } } as const;
    assert.equal(await bench.made(await bench.filesystem.create(bench.call, { where, how }), where), object);
    const attributes = await bench.attributes(object);
    assert.deepEqual([attributes.size, attributes.mode], [0, 0o640]);
  });

  define('CREATE over a directory is refused', async (bench) => {
    await bench.folder('d');
    for (const mode of ['unchecked', 'guarded'] as const) {
      const reply = await bench.filesystem.create(bench.call, { where: bench.at('d'), how: { mode, set: {} } });
      refused(reply, Status.EXIST, Status.ISDIR);
    }
  });

  define(
    'CREATE EXCLUSIVE succeeds again with its verifier and is EXIST with another',
    async (bench) => {
      const where = bench.at('a');
      const how = { mode: 'exclusive', verifier: '\x01\x82\x03\xff\0\x06\x07\x08' } as const;
      const object = await bench.made(await bench.filesystem.create(bench.call, { where, how }), where);
      assert.equal(await bench.made(await bench.filesystem.create(bench.call, { where, how }), where), object);
      const other = { mode: 'exclusive', verifier: '\x01\x82\x03\xff\0\x06\x07\x09' } as const;
      refused(await bench.filesystem.create(bench.call, { where, how: other }), Status.EXIST);
      await bench.set(object, { mode: 0o644, mtime: 'server', atime: 'server' });
      assert.deepEqual((await bench.attributes(object)).mode, 0o644);
    },
    ['exclusiveCreate'],
  );

  define('CREATE and MKDIR in a file are NOTDIR', async (bench) => {
    const where = bench.at('b', await bench.file('a'));
    const how = { mode: 'unchecked', set: {} } as const;
    refused(await bench.filesystem.create(bench.call, { where, how }), Status.NOTDIR);
    refused(await bench.filesystem.mkdir(bench.call, { where, set: {} }), Status.NOTDIR);
  });

  define('MKDIR makes an empty directory and counts as a link of its parent', async (bench) => {
    const before = (await bench.attributes(bench.directory)).nlink;
    const object = await bench.folder('d');
    const attributes = await bench.attributes(object);
    assert.deepEqual([attributes.type, attributes.mode], [FileType.DIRECTORY, 0o755]);
    assert.deepEqual(await bench.entries(object), []);
    const after = (await bench.attributes(bench.directory)).nlink;
    assert.ok(after === before + 1 || (before === 1 && after === 1), `links ${before} -> ${after}`);
    refused(await bench.filesystem.mkdir(bench.call, { where: bench.at('d'), set: {} }), Status.EXIST);
  });

  define('SYMLINK keeps its target byte for byte', async (bench) => {
    const targets = ['a', '/absolute/path', '../up/./and//down', 'caf\xe9 \xff\n', 'x'.repeat(1000)];
    for (const [index, target] of targets.entries()) {
      const where = bench.at(`link${index}`);
      const reply = await bench.filesystem.symlink(bench.call, { where, set: {}, target });
      if (!bench.capabilities.symbolicLinks) {
        refused(reply, Status.NOTSUPP);
        continue;
      }
      const object = await bench.made(reply, where);
      assert.equal(ok(await bench.filesystem.readlink(bench.call, { object })).target, target);
      const attributes = await bench.attributes(object);
      assert.deepEqual([attributes.type, attributes.size], [FileType.SYMLINK, target.length]);
    }
  });

  define('READLINK of a file is INVAL; SYMLINK over a name is EXIST', async (bench) => {
    const object = await bench.file('a');
    refused(await bench.filesystem.readlink(bench.call, { object }), Status.INVAL, Status.NOTSUPP);
    const reply = await bench.filesystem.symlink(bench.call, { where: bench.at('a'), set: {}, target: 'x' });
    refused(reply, Status.EXIST, Status.NOTSUPP);
  });

  define('MKNOD makes FIFOs and sockets, and refuses other types', async (bench) => {
    for (const [name, type] of [
      ['fifo', FileType.FIFO],
      ['socket', FileType.SOCKET],
    ] as const) {
      const where = bench.at(name);
      const args = { where, type, set: { mode: 0o600 }, deviceMajor: 0, deviceMinor: 0 };
      const reply = await bench.filesystem.mknod(bench.call, args);
      if (!bench.capabilities.specialFiles) {
        refused(reply, Status.NOTSUPP);
        continue;
      }
      const attributes = await bench.attributes(await bench.made(reply, where));
      assert.deepEqual([attributes.type, attributes.mode], [type, 0o600]);
    }
    const where = bench.at('regular');
    const args = { where, type: FileType.REGULAR, set: {}, deviceMajor: 0, deviceMinor: 0 };
    refused(await bench.filesystem.mknod(bench.call, args), Status.BADTYPE, Status.NOTSUPP, Status.INVAL);
  });

  define(
    'MKNOD of a device keeps its numbers and is for the superuser',
    async (bench) => {
      const where = bench.at('null');
      const args = { where, type: FileType.CHARACTER, set: { mode: 0o666 }, deviceMajor: 1, deviceMinor: 3 };
      refused(await bench.filesystem.mknod(bench.call, args), Status.PERM, Status.ACCES);
      const reply = await bench.filesystem.mknod(callBy(superuser), args);
      const attributes = await bench.attributes(await bench.made(reply, where));
      assert.deepEqual([attributes.type, attributes.deviceMajor, attributes.deviceMinor], [FileType.CHARACTER, 1, 3]);
    },
    ['root', 'specialFiles'],
  );
}

function linkCases(define: Define): void {
  define(
    'LINK gives a file a second name; it lives until the last is removed',
    async (bench) => {
      const { filesystem, call } = bench;
      const object = await bench.file('a', pattern(10));
      const before = await bench.attributes(object);
      await bench.pause();
      const reply = ok(await filesystem.link(call, { object, where: bench.at('b') }));
      if (reply.attributes) assert.equal(reply.attributes.nlink, 2);
      assert.ok(isBefore(before.ctime, (await bench.attributes(object)).ctime), 'ctime did not move');
      assert.equal(ok(await filesystem.lookup(call, bench.at('b'))).object, object);
      ok(await filesystem.remove(call, bench.at('a')));
      assert.equal((await bench.attributes(object)).nlink, 1);
      assert.ok((await bench.readAll(object)).equals(pattern(10)));
    },
    ['hardLinks'],
  );

  define(
    'LINK over a name is EXIST, of a directory refused, into a file NOTDIR',
    async (bench) => {
      const { filesystem, call } = bench;
      const object = await bench.file('a');
      await bench.file('b');
      const folder = await bench.folder('d');
      refused(await filesystem.link(call, { object, where: bench.at('b') }), Status.EXIST);
      const reply = await filesystem.link(call, { object: folder, where: bench.at('e') });
      refused(reply, Status.PERM, Status.ISDIR, Status.INVAL);
      refused(await filesystem.link(call, { object, where: bench.at('e', object) }), Status.NOTDIR);
      assert.equal((await bench.attributes(object)).nlink, 1);
    },
    ['hardLinks'],
  );
}

function removeCases(define: Define): void {
  define('REMOVE takes the name away, with wcc data of the directory', async (bench) => {
    const object = await bench.file('a');
    const before = await bench.attributes(bench.directory);
    await bench.pause();
    const reply = ok(await bench.filesystem.remove(bench.call, bench.at('a')));
    assert.ok(isBefore(before.mtime, afterOf(reply.directoryWcc).mtime));
    assert.equal(await bench.exists('a'), false);
    if (bench.capabilities.staleAfterRemove) {
      refused(await bench.filesystem.getattr(bench.call, { object }), Status.STALE);
      refused(await bench.filesystem.read(bench.call, { object, offset: 0, count: 1 }), Status.STALE);
    }
  });

  define('REMOVE of a missing name is NOENT, of a directory ISDIR', async (bench) => {
    await bench.folder('d');
    refused(await bench.filesystem.remove(bench.call, bench.at('missing')), Status.NOENT);
    refused(await bench.filesystem.remove(bench.call, bench.at('d')), Status.ISDIR, Status.PERM);
    assert.ok(await bench.exists('d'));
  });

  define('RMDIR takes an empty directory only', async (bench) => {
    const { filesystem, call } = bench;
    const folder = await bench.folder('d');
    await bench.folder('inner', folder);
    await bench.file('file');
    refused(await filesystem.rmdir(call, bench.at('missing')), Status.NOENT);
    refused(await filesystem.rmdir(call, bench.at('file')), Status.NOTDIR);
    refused(await filesystem.rmdir(call, bench.at('d')), Status.NOTEMPTY, Status.EXIST);
    ok(await filesystem.rmdir(call, bench.at('inner', folder)));
    ok(await filesystem.rmdir(call, bench.at('d')));
    assert.equal(await bench.exists('d'), false);
    if (bench.capabilities.staleAfterRemove) {
      refused(await filesystem.lookup(call, bench.at('x', folder)), Status.STALE, Status.NOENT);
    }
  });

  define('a handle never comes to mean another file', async (bench) => {
    const seen = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const object = await bench.file('a', pattern(i + 1));
      assert.ok(!seen.has(object), 'a handle was used again');
      seen.add(object);
      ok(await bench.filesystem.remove(bench.call, bench.at('a')));
    }
  });
}
