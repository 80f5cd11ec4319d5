/** Cases on RENAME (RFC 1813 3.3.14). */
import { strict as assert } from 'node:assert';
import { Status } from '../../vfs/mod.ts';
import { afterOf, type Define, isBefore, ok, pattern, refused, type Workbench } from './workbench.ts';

function rename(bench: Workbench, from: string, to: string, fromDirectory?: string, toDirectory?: string) {
  const args = { from: bench.at(from, fromDirectory), to: bench.at(to, toDirectory) };
  return bench.filesystem.rename(bench.call, args);
}

export function renameCases(define: Define): void {
  define('RENAME keeps the handle and the bytes', async (bench) => {
    const object = await bench.file('a', pattern(100));
    const folder = await bench.folder('d');
    ok(await rename(bench, 'a', 'b'));
    ok(await rename(bench, 'b', 'c', undefined, folder));
    assert.deepEqual(await bench.names(), ['d']);
    assert.equal(ok(await bench.filesystem.lookup(bench.call, bench.at('c', folder))).object, object);
    assert.ok((await bench.readAll(object)).equals(pattern(100)));
  });

  define('RENAME gives wcc data of both directories', async (bench) => {
    await bench.file('a');
    const folder = await bench.folder('d');
    const [from, to] = [await bench.attributes(bench.directory), await bench.attributes(folder)];
    await bench.pause();
    const reply = ok(await rename(bench, 'a', 'a', undefined, folder));
    assert.ok(isBefore(from.mtime, afterOf(reply.fromWcc).mtime));
    assert.ok(isBefore(to.mtime, afterOf(reply.toWcc).mtime));
    assert.equal(afterOf(reply.toWcc).fileid, to.fileid);
  });

  define('RENAME over a file replaces it', async (bench) => {
    const object = await bench.file('a', pattern(10, 1));
    const replaced = await bench.file('b', pattern(10, 2));
    ok(await rename(bench, 'a', 'b'));
    assert.deepEqual(await bench.names(), ['b']);
    assert.equal(ok(await bench.filesystem.lookup(bench.call, bench.at('b'))).object, object);
    if (bench.capabilities.staleAfterRemove) {
      refused(await bench.filesystem.getattr(bench.call, { object: replaced }), Status.STALE);
    }
  });

  define('RENAME of a missing name is NOENT', async (bench) => {
    refused(await rename(bench, 'missing', 'b'), Status.NOENT);
  });

  define('RENAME of a name to itself does nothing', async (bench) => {
    await bench.file('a', pattern(10));
    ok(await rename(bench, 'a', 'a'));
    assert.deepEqual(await bench.names(), ['a']);
  });

  define(
    'RENAME between two names of one file keeps both',
    async (bench) => {
      const object = await bench.file('a');
      ok(await bench.filesystem.link(bench.call, { object, where: bench.at('b') }));
      ok(await rename(bench, 'a', 'b'));
      assert.deepEqual(await bench.names(), ['a', 'b']);
      assert.equal((await bench.attributes(object)).nlink, 2);
    },
    ['hardLinks'],
  );

  define('RENAME of a directory moves what is in it, and its parent', async (bench) => {
    const one = await bench.folder('one');
    const two = await bench.folder('two');
    const inner = await bench.folder('inner', one);
    await bench.folder('leaf', inner);
    const links = (await bench.attributes(one)).nlink;
    ok(await rename(bench, 'inner', 'moved', one, two));
    assert.equal(ok(await bench.filesystem.lookup(bench.call, bench.at('..', inner))).object, two);
    assert.deepEqual(await bench.names(inner), ['leaf']);
    const left = (await bench.attributes(one)).nlink;
    assert.ok(left === links - 1 || links === 1, `links ${links} -> ${left}`);
  });

  define('RENAME over an empty directory replaces it, over a full one is NOTEMPTY', async (bench) => {
    const one = await bench.folder('one');
    const two = await bench.folder('two');
    await bench.folder('inner', two);
    refused(await rename(bench, 'one', 'two'), Status.NOTEMPTY, Status.EXIST);
    ok(await bench.filesystem.rmdir(bench.call, bench.at('inner', two)));
    ok(await rename(bench, 'one', 'two'));
    assert.deepEqual(await bench.names(), ['two']);
    assert.equal(ok(await bench.filesystem.lookup(bench.call, bench.at('two'))).object, one);
  });

  define('RENAME of a file over a directory, or the reverse, is refused', async (bench) => {
    await bench.file('file');
    await bench.folder('folder');
    refused(await rename(bench, 'file', 'folder'), Status.EXIST, Status.ISDIR);
    refused(await rename(bench, 'folder', 'file'), Status.EXIST, Status.NOTDIR);
    assert.deepEqual(await bench.names(), ['file', 'folder']);
  });

  define('RENAME of a directory into itself is INVAL', async (bench) => {
    const folder = await bench.folder('d');
    const inner = await bench.folder('inner', folder);
    refused(await rename(bench, 'd', 'x', undefined, folder), Status.INVAL);
    refused(await rename(bench, 'd', 'x', undefined, inner), Status.INVAL);
    assert.deepEqual(await bench.names(), ['d']);
  });

  define('RENAME from or to a file as the directory is NOTDIR', async (bench) => {
    const object = await bench.file('a');
    refused(await rename(bench, 'x', 'b', object), Status.NOTDIR);
    refused(await rename(bench, 'a', 'b', undefined, object), Status.NOTDIR);
  });
}
