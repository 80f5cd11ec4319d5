/** What ordinary clients are shown of a directory that holds content meta-data, and what Viaducts are. */
import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { callBy, filesystemSuite, MemoryFilesystem, ok, refused } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { Hidden } from './hidden.ts';

const { Status } = vfs;
const plain = callBy(vfs.credential(0, 0));
const viaduct: vfs.Call = { ...plain, isViaduct: true };
const set = { mode: 0o755 };
const noVerifier = '\0'.repeat(8);
const content = '.viaduct';

/** As a server of a file system in which names that differ in case are one. */
class Folding extends vfs.ForwardingFilesystem {
  override async pathconf(call: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.PathconfReply> {
    return { ...ok(await this.next.pathconf(call, args)), caseInsensitive: true };
  }
}

/** A directory with these names, each a directory, in this order. */
async function place(names: readonly string[], origin: vfs.Filesystem = new MemoryFilesystem()) {
  const filesystem = new Hidden(origin);
  for (const name of names) ok(await origin.mkdir(plain, { where: { directory: origin.root, name }, set }));
  return { origin, filesystem, directory: origin.root };
}

async function makeFile(origin: vfs.Filesystem, where: vfs.Place): Promise<vfs.FileHandle> {
  return ok(await origin.create(plain, { where, how: { mode: 'guarded', set } })).object!;
}

/** All pages, of so many bytes; each must say something. */
async function list(filesystem: vfs.Filesystem, call: vfs.Call, bytes: number, how: 'readdir' | 'readdirplus') {
  const { root: directory } = filesystem;
  const names: string[] = [];
  let cookie = 0n;
  let cookieVerifier = noVerifier;
  for (let pages = 0; pages < 50; pages++) {
    const args = { directory, cookie, cookieVerifier, directoryBytes: bytes, replyBytes: bytes };
    const reply: vfs.ReaddirReply = await filesystem[how](call, args);
    const page = ok(reply);
    names.push(...page.entries.map((entry) => entry.name));
    if (page.eof) return names.filter((name) => name !== '.' && name !== '..');
    assert.ok(page.entries.length > 0, 'a page of nothing that is not the last');
    cookie = page.entries[page.entries.length - 1]!.cookie;
    cookieVerifier = page.cookieVerifier;
  }
  throw new Error('the listing does not end');
}

describe('content meta-data', () => {
  for (const how of ['readdir', 'readdirplus'] as const) {
    // One entry a page, some, all.
    for (const bytes of how === 'readdir' ? [140, 200, 4096] : [300, 700, 8192]) {
      it(`is in no page of ${how} of ${bytes} bytes, wherever it stands; a Viaduct sees it`, async () => {
        for (const names of [
          [content],
          [content, 'a', 'b', 'c'],
          ['a', content, 'b'],
          ['a', 'b', 'c', content],
          ['a', 'b', 'c'],
          [],
        ]) {
          const { filesystem } = await place(names);
          const others = names.filter((name) => name !== content);
          assert.deepEqual(await list(filesystem, plain, bytes, how), others, names.join());
          assert.deepEqual(await list(filesystem, viaduct, bytes, how), names, names.join());
        }
      });
    }
  }

  it('is not found by its name, but behind the errors that a look-up has anyway; a Viaduct finds it', async () => {
    const { filesystem, origin, directory } = await place([content, 'Viaduct', '.viaducts', 'closed']);
    const absent = refused(await filesystem.lookup(plain, { directory, name: content }), Status.NOENT);
    assert.equal(
      absent.directoryAttributes?.fileid,
      ok(await origin.getattr(plain, { object: directory })).attributes.fileid,
    );
    ok(await filesystem.lookup(viaduct, { directory, name: content }));
    ok(await filesystem.lookup(plain, { directory, name: 'Viaduct' }));
    ok(await filesystem.lookup(plain, { directory, name: '.viaducts' }));
    const closed = ok(await origin.lookup(plain, { directory, name: 'closed' })).object;
    assert.equal((await origin.setattr(plain, { object: closed, set: { mode: 0o700 } })).status, 0);
    const other = callBy(vfs.credential(1000, 1000));
    refused(await filesystem.lookup(other, { directory: closed, name: content }), Status.ACCES);
    const file = await makeFile(origin, { directory, name: 'file' });
    refused(await filesystem.lookup(plain, { directory: file, name: content }), Status.NOTDIR);
    refused(await filesystem.lookup(plain, { directory: 'nothing', name: content }), Status.STALE, Status.BADHANDLE);
  });

  it('cannot be made, replaced, moved, linked or removed by its name', async () => {
    const { filesystem, origin, directory } = await place([content, 'other']);
    const where = { directory, name: content };
    const object = await makeFile(origin, { directory, name: 'file' });
    const special = { where, type: vfs.FileType.FIFO, set, deviceMajor: 0, deviceMinor: 0 };
    const from = { directory, name: 'other' };
    for (const reply of [
      await filesystem.create(plain, { where, how: { mode: 'unchecked', set } }),
      await filesystem.mkdir(plain, { where, set }),
      await filesystem.symlink(plain, { where, set, target: 'x' }),
      await filesystem.mknod(plain, special),
      await filesystem.remove(plain, where),
      await filesystem.rmdir(plain, where),
      await filesystem.link(plain, { object, where }),
      await filesystem.rename(plain, { from: where, to: { directory, name: 'mine' } }),
      await filesystem.rename(plain, { from, to: where }),
    ]) {
      refused(reply, Status.ACCES);
    }
    assert.deepEqual(await list(origin, plain, 4096, 'readdir'), [content, 'other', 'file']);
    const to = { directory, name: 'mine' };
    ok(await filesystem.rename(viaduct, { from: where, to }));
    ok(await filesystem.mkdir(viaduct, { where, set }));
    ok(await filesystem.rmdir(viaduct, where));
  });

  it('is one spelling only, unless the origin takes names that differ in case for one', async () => {
    const sensitive = await place(['.Viaduct', '.VIADUCT', content]);
    assert.deepEqual(await list(sensitive.filesystem, plain, 4096, 'readdir'), ['.Viaduct', '.VIADUCT']);
    const name = '.Viaduct';
    ok(await sensitive.filesystem.lookup(plain, { directory: sensitive.directory, name }));
    const folding = await place([name, 'a'], new Folding(new MemoryFilesystem()));
    const { directory } = folding;
    assert.deepEqual(await list(folding.filesystem, plain, 140, 'readdir'), ['a']);
    refused(await folding.filesystem.lookup(plain, { directory, name }), Status.NOENT);
    refused(await folding.filesystem.mkdir(plain, { where: { directory, name: '.viadUCT' }, set }), Status.ACCES);
    assert.deepEqual(await list(folding.filesystem, viaduct, 4096, 'readdir'), [name, 'a']);
  });

  it('goes with a directory that holds nothing else', async () => {
    const { filesystem, origin, directory } = await place(['golden']);
    const golden = ok(await origin.lookup(plain, { directory, name: 'golden' })).object;
    const where = { directory: golden, name: content };
    const inside = ok(await origin.mkdir(plain, { where, set })).object!;
    for (const name of ['disk.meta', 'disk.pack']) await makeFile(origin, { directory: inside, name });
    await makeFile(origin, { directory: golden, name: 'disk' });
    refused(await filesystem.rmdir(plain, { directory, name: 'golden' }), Status.NOTEMPTY);
    assert.deepEqual((await list(filesystem, plain, 4096, 'readdir')).length, 1);
    ok(await filesystem.lookup(viaduct, { directory: inside, name: 'disk.meta' }));
    ok(await filesystem.remove(plain, { directory: golden, name: 'disk' }));
    refused(await filesystem.rmdir(viaduct, { directory, name: 'golden' }), Status.NOTEMPTY);
    ok(await filesystem.rmdir(plain, { directory, name: 'golden' }));
    assert.deepEqual(await list(origin, plain, 4096, 'readdir'), []);
  });

  it('stays when it holds what cannot be removed', async () => {
    const { filesystem, origin, directory } = await place(['golden']);
    const golden = ok(await origin.lookup(plain, { directory, name: 'golden' })).object;
    const inside = ok(await origin.mkdir(plain, { where: { directory: golden, name: content }, set })).object!;
    ok(await origin.mkdir(plain, { where: { directory: inside, name: 'deeper' }, set }));
    refused(await filesystem.rmdir(plain, { directory, name: 'golden' }), Status.NOTEMPTY);
    ok(await origin.lookup(plain, { directory: inside, name: 'deeper' }));
  });
});

filesystemSuite('Hidden over memory', async () => {
  const filesystem = new Hidden(new MemoryFilesystem());
  return { filesystem, cleanup: () => filesystem.close() };
});
