/** Handles of a directory origin: stable over restart and rename, never another file, not to be forged. */
import { strict as assert } from 'node:assert';
import * as nodeFs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Log, seededRandom, silentLog } from '../../base/mod.ts';
import { ok, refused } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { call, create, isRoot, text, walk, workplace } from './fixture.test.ts';

const { Status } = vfs;
const place = workplace();

for (const handles of isRoot ? (['kernel', 'table'] as const) : (['table'] as const)) {
  describe(`handles (${handles})`, () => {
    it('mean the same files after a restart', async () => {
      place.put('a/b/c', 'content');
      const first = await place.start({ handles });
      const file = await walk(first, 'a/b/c');
      const folder = await walk(first, 'a/b');
      const { root, identity } = first;
      await place.stop(first);
      const second = await place.start({ handles });
      assert.deepEqual([second.root, second.identity], [root, identity]);
      assert.equal(await text(second, file), 'content');
      assert.equal(ok(await second.lookup(call, { directory: folder, name: 'c' })).object, file);
      assert.equal(
        ok(await second.getattr(call, { object: file })).attributes.fsid,
        ok(await second.getattr(call, { object: root })).attributes.fsid,
      );
    });

    it('follow a file that was renamed while the server was down, also below a renamed directory', async () => {
      place.put('a/b/c', 'one');
      place.put('a/d', 'two');
      const first = await place.start({ handles });
      const inner = await walk(first, 'a/b/c');
      const moved = await walk(first, 'a/d');
      await place.stop(first);
      nodeFs.renameSync(join(place.exported, 'a'), join(place.exported, 'z'));
      nodeFs.mkdirSync(join(place.exported, 'elsewhere'));
      nodeFs.renameSync(join(place.exported, 'z/d'), join(place.exported, 'elsewhere/e'));
      place.put('a/d', 'another');
      const second = await place.start({ handles });
      assert.equal(await text(second, inner), 'one');
      assert.equal(await text(second, moved), 'two');
    });

    it('follow a rename through the server after a restart, and a name of a hard link that stays', async () => {
      place.put('a', 'one');
      const first = await place.start({ handles });
      const file = await walk(first, 'a');
      const { root } = first;
      ok(await first.link(call, { object: file, where: { directory: root, name: 'second' } }));
      ok(await first.rename(call, { from: { directory: root, name: 'a' }, to: { directory: root, name: 'b' } }));
      ok(await first.remove(call, { directory: root, name: 'b' }));
      await place.stop(first);
      assert.equal(await text(await place.start({ handles }), file), 'one');
    });

    it('are stale when the file is gone, even if a new file has its inode number', async () => {
      const filesystem = await place.start({ handles });
      let reused = 0;
      for (let round = 0; round < 30 && reused < 3; round++) {
        place.put('victim', 'old');
        const old = await walk(filesystem, 'victim');
        const inode = nodeFs.statSync(join(place.exported, 'victim')).ino;
        if (round % 2 === 0) nodeFs.unlinkSync(join(place.exported, 'victim'));
        else ok(await filesystem.remove(call, { directory: filesystem.root, name: 'victim' }));
        // Behind our back the file may still be held open: asking lets it go.
        refused(await filesystem.getattr(call, { object: old }), Status.STALE);
        place.put('other', 'new');
        if (nodeFs.statSync(join(place.exported, 'other')).ino === inode) reused++;
        refused(await filesystem.read(call, { object: old, offset: 0, count: 10 }), Status.STALE);
        ok(await filesystem.lookup(call, { directory: filesystem.root, name: 'other' }));
        refused(await filesystem.read(call, { object: old, offset: 0, count: 10 }), Status.STALE);
        nodeFs.unlinkSync(join(place.exported, 'other'));
      }
      if (nodeFs.statfsSync(place.exported).type === 0xef53) assert.ok(reused > 0, 'no inode number was used again');
    });

    it('that were changed in any byte, cut or lengthened are refused', async () => {
      place.put('a');
      const filesystem = await place.start({ handles });
      const object = await walk(filesystem, 'a');
      assert.ok(object.length <= 56, 'room for a tag of eight bytes');
      for (let at = 0; at < object.length; at++) {
        const changed = String.fromCharCode(object.charCodeAt(at) ^ 1);
        const forged = object.slice(0, at) + changed + object.slice(at + 1);
        refused(await filesystem.getattr(call, { object: forged }), Status.STALE, Status.BADHANDLE);
        refused(await filesystem.getattr(call, { object: object.slice(0, at) }), Status.STALE, Status.BADHANDLE);
      }
      refused(await filesystem.getattr(call, { object: `${object}x` }), Status.STALE, Status.BADHANDLE);
    });

    it('of another export are stale', async () => {
      place.put('a');
      place.put('sub/b');
      const filesystem = await place.start({ handles });
      const handle = await walk(filesystem, 'a');
      const inner = await place.start({ handles, path: join(place.exported, 'sub') });
      refused(await inner.getattr(call, { object: handle }), Status.STALE);
      refused(await inner.getattr(call, { object: filesystem.root }), Status.STALE);
      const stranger = await place.start({ handles, stateDirectory: join(place.top, 'other-state') });
      refused(await stranger.getattr(call, { object: handle }), Status.STALE);
    });

    it('go on working with more files than descriptors', async () => {
      const filesystem = await place.start({ handles, maximumDescriptors: 30 });
      const before = nodeFs.readdirSync('/proc/self/fd').length;
      const files: vfs.FileHandle[] = [];
      for (let i = 0; i < 200; i++) {
        place.put(`f${i}`, `content ${i}`);
        files.push(await walk(filesystem, `f${i}`));
      }
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < files.length; i++) assert.equal(await text(filesystem, files[i]!), `content ${i}`);
      }
      assert.ok(nodeFs.readdirSync('/proc/self/fd').length - before < 40);
    });
  });
}

describe('few descriptors', () => {
  it('and many operations at once never meet in one descriptor', async () => {
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (fields, message) => errors.push(`${message} ${JSON.stringify(fields)}`) };
    const filesystem = await place.start({ log, maximumDescriptors: 9 });
    const random = seededRandom(7);
    const { root } = filesystem;
    const step = async (number: number): Promise<void> => {
      const name = `f${number}`;
      const object = ok(await create(filesystem, name)).object!;
      const data = [Buffer.alloc(5000, number)];
      for (let round = 0; round < 6; round++) {
        const stable = (random.uint32() % 3) as vfs.StabilityCode;
        ok(await filesystem.write(call, { object, offset: round * 5000, count: 5000, stable, data }));
        if (random.uint32() % 2 === 0) ok(await filesystem.commit(call, { object, offset: 0, count: 0 }));
        const to = { directory: root, name: `${name}-${round}` };
        const from = { directory: root, name: round === 0 ? name : `${name}-${round - 1}` };
        ok(await filesystem.rename(call, { from, to }));
        const read = ok(await filesystem.read(call, { object, offset: 0, count: 65536 }));
        assert.equal(read.count, (round + 1) * 5000);
        assert.ok(Buffer.concat(read.data).every((byte) => byte === number));
        read.release?.();
      }
      ok(await filesystem.remove(call, { directory: root, name: `${name}-5` }));
      refused(await filesystem.read(call, { object, offset: 0, count: 1 }), Status.STALE);
    };
    await Promise.all(Array.from({ length: 40 }, (_, number) => step(number)));
    assert.deepEqual(errors, []);
  });
});

describe('the handles', () => {
  it('are the same whether the kernel or the table finds the files', { skip: !isRoot }, async () => {
    place.put('a/b', 'x');
    const first = await place.start({ handles: 'table' });
    const handle = await walk(first, 'a/b');
    await place.stop(first);
    assert.equal(await text(await place.start({ handles: 'kernel' }), handle), 'x');
  });

  it('key is private', async () => {
    await place.start();
    assert.equal(nodeFs.statSync(join(place.top, 'state/handle-key')).mode & 0o777, 0o600);
  });
});
