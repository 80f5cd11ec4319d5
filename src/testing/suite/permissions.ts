/** Cases on who may do what: ACCESS and refusals by mode bits for several users (RFC 1813 3.3.4, 4.4). */
import { strict as assert } from 'node:assert';
import { Access, type Credential, Status } from '../../vfs/mod.ts';
import {
  alice,
  bob,
  callBy,
  carol,
  type Define,
  ok,
  pattern,
  refused,
  superuser,
  type Workbench,
} from './workbench.ts';

async function granted(bench: Workbench, who: Credential, object: string, asked: number): Promise<number> {
  return ok(await bench.filesystem.access(callBy(who), { object, access: asked })).access;
}

export function permissionCases(define: Define): void {
  define('ACCESS grants the owner what the mode says, and never more than was asked for', async (bench) => {
    const object = await bench.file('a', undefined, { mode: 0o644 });
    const { user } = bench.capabilities;
    for (const asked of [0, Access.READ, Access.MODIFY, Access.READ | Access.EXTEND]) {
      assert.equal(await granted(bench, user, object, asked), asked);
    }
    const bits = Access.READ | Access.LOOKUP | Access.MODIFY | Access.EXTEND;
    assert.equal(await granted(bench, user, bench.directory, bits), bits);
    const all = await granted(bench, user, object, Access.ALL);
    assert.equal(all & (Access.READ | Access.MODIFY | Access.EXTEND), Access.READ | Access.MODIFY | Access.EXTEND);
    assert.equal(all & Access.EXECUTE, 0, 'no execute bit is set');
  });

  define(
    'ACCESS tells owner, group and others apart',
    async (bench) => {
      const object = await bench.file('a');
      await bench.set(object, { gid: 2000 });
      await bench.set(object, { mode: 0o640 });
      const asked = Access.READ | Access.MODIFY | Access.EXTEND;
      assert.equal(await granted(bench, alice, object, asked), asked);
      assert.equal(await granted(bench, bob, object, asked), Access.READ);
      assert.equal(await granted(bench, carol, object, asked), 0);
      assert.equal(await granted(bench, superuser, object, asked), asked);
    },
    ['root'],
  );

  define(
    'the first triple that fits decides, even if a later one grants more',
    async (bench) => {
      const object = await bench.file('a');
      await bench.set(object, { gid: 2000 });
      await bench.set(object, { mode: 0o604 });
      assert.equal(await granted(bench, bob, object, Access.READ), 0);
      assert.equal(await granted(bench, carol, object, Access.READ), Access.READ);
    },
    ['root'],
  );

  define(
    'READ and WRITE by others follow the mode; the owner is never locked out',
    async (bench) => {
      const object = await bench.file('a', pattern(10));
      await bench.set(object, { mode: 0o000 });
      const args = { object, offset: 0, count: 1, stable: 2, data: [pattern(1)] } as const;
      assert.equal((await bench.read(object, 0, 10)).bytes.length, 10);
      ok(await bench.filesystem.write(bench.call, args));
      assert.equal((await bench.read(object, 0, 10, callBy(superuser))).bytes.length, 10);
      refused(await bench.filesystem.read(callBy(carol), { object, offset: 0, count: 1 }), Status.ACCES);
      refused(await bench.filesystem.write(callBy(carol), args), Status.ACCES);
      await bench.set(object, { mode: 0o644 });
      assert.equal((await bench.read(object, 0, 10, callBy(carol))).bytes.length, 10);
      refused(await bench.filesystem.write(callBy(carol), args), Status.ACCES);
    },
    ['root'],
  );

  define(
    'who may execute a file may read it',
    async (bench) => {
      const object = await bench.file('a', pattern(10));
      await bench.set(object, { mode: 0o711 });
      assert.equal((await bench.read(object, 0, 10, callBy(carol))).bytes.length, 10);
      assert.equal(await granted(bench, carol, object, Access.EXECUTE), Access.EXECUTE);
    },
    ['root'],
  );

  define(
    'SETATTR by others is refused',
    async (bench) => {
      const object = await bench.file('a', pattern(10), { mode: 0o644 });
      const { filesystem } = bench;
      const call = callBy(carol);
      refused(await filesystem.setattr(call, { object, set: { mode: 0o777 } }), Status.PERM, Status.ACCES);
      refused(await filesystem.setattr(call, { object, set: { size: 0 } }), Status.ACCES, Status.PERM);
      refused(await filesystem.setattr(call, { object, set: { uid: carol.uid } }), Status.PERM, Status.ACCES);
      refused(await filesystem.setattr(call, { object, set: { mtime: 'server' } }), Status.ACCES, Status.PERM);
      const mtime = { seconds: 1, nanoseconds: 0 };
      refused(await filesystem.setattr(call, { object, set: { mtime } }), Status.PERM, Status.ACCES);
      const attributes = await bench.attributes(object);
      assert.deepEqual([attributes.mode, attributes.size, attributes.uid], [0o644, 10, alice.uid]);
    },
    ['root'],
  );

  define(
    'who may write a file may truncate it and set its times to now',
    async (bench) => {
      const object = await bench.file('a', pattern(10));
      await bench.set(object, { mode: 0o666 });
      await bench.set(object, { size: 5 }, callBy(carol));
      await bench.set(object, { mtime: 'server', atime: 'server' }, callBy(carol));
      assert.equal((await bench.attributes(object)).size, 5);
    },
    ['root'],
  );

  define(
    'a directory without write permission keeps its names; without execute permission nothing is found',
    async (bench) => {
      const { filesystem } = bench;
      const folder = await bench.folder('d');
      const call = callBy(carol);
      const where = bench.at('a', folder);
      const inside = await bench.made(
        await filesystem.create(bench.call, { where, how: { mode: 'guarded', set: {} } }),
        where,
      );
      const how = { mode: 'unchecked', set: {} } as const;
      refused(await filesystem.create(call, { where: bench.at('b', folder), how }), Status.ACCES);
      refused(await filesystem.mkdir(call, { where: bench.at('b', folder), set: {} }), Status.ACCES);
      refused(await filesystem.symlink(call, { where: bench.at('b', folder), set: {}, target: 'x' }), Status.ACCES);
      refused(await filesystem.link(call, { object: inside, where: bench.at('b', folder) }), Status.ACCES, Status.PERM);
      refused(await filesystem.remove(call, where), Status.ACCES);
      refused(await filesystem.rename(call, { from: where, to: bench.at('b', folder) }), Status.ACCES);
      refused(await filesystem.rmdir(call, bench.at('d')), Status.ACCES);
      await bench.set(folder, { mode: 0o744 });
      refused(await filesystem.lookup(call, where), Status.ACCES);
      const page = {
        directory: folder,
        cookie: 0n,
        cookieVerifier: '\0'.repeat(8),
        directoryBytes: 4096,
        replyBytes: 4096,
      };
      ok(await filesystem.readdir(call, page));
      await bench.set(folder, { mode: 0o711 });
      ok(await filesystem.lookup(call, where));
      refused(await filesystem.readdir(call, page), Status.ACCES);
      refused(await filesystem.readdirplus(call, page), Status.ACCES);
    },
    ['root'],
  );

  define(
    'in a sticky directory only the owner removes and renames',
    async (bench) => {
      const { filesystem } = bench;
      const folder = await bench.folder('d');
      await bench.set(folder, { mode: 0o1777 });
      const where = bench.at('a', folder);
      await bench.made(await filesystem.create(callBy(bob), { where, how: { mode: 'guarded', set: {} } }), where);
      refused(await filesystem.remove(callBy(carol), where), Status.ACCES, Status.PERM);
      const renamed = await filesystem.rename(callBy(carol), { from: where, to: bench.at('b', folder) });
      refused(renamed, Status.ACCES, Status.PERM);
      ok(await filesystem.remove(callBy(bob), where));
    },
    ['root'],
  );

  define(
    'new files belong to the caller, and to the group of a set-group-ID directory',
    async (bench) => {
      const { filesystem } = bench;
      const folder = await bench.folder('d');
      await bench.set(folder, { gid: 2000 });
      await bench.set(folder, { mode: 0o2777 });
      const how = { mode: 'guarded', set: { mode: 0o644 } } as const;
      const where = bench.at('a', folder);
      const file = await bench.attributes(
        await bench.made(await filesystem.create(callBy(carol), { where, how }), where),
      );
      assert.deepEqual([file.uid, file.gid], [carol.uid, 2000]);
      const inner = await bench.attributes(await bench.folder('inner', folder));
      assert.deepEqual([inner.gid, inner.mode & 0o2000], [2000, 0o2000]);
      const plain = await bench.attributes(await bench.file('plain'));
      assert.deepEqual([plain.uid, plain.gid], [alice.uid, alice.gid]);
    },
    ['root'],
  );
}
