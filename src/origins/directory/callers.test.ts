/** What a directory origin that runs as user 0 lets its callers do. */
import { strict as assert } from 'node:assert';
import * as nodeFs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { libc } from '../../native/mod.ts';
import { callBy, ok, refused } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { create, isRoot, walk, workplace } from './fixture.test.ts';

const { Status } = vfs;
const place = workplace();

describe('callers', { skip: !isRoot }, () => {
  const alice = callBy(vfs.credential(1001, 1001, [2000]));
  const bob = callBy(vfs.credential(1002, 1002));

  it('own what they make, also through a supplementary group, and setgid directories hand down their group', async () => {
    nodeFs.mkdirSync(join(place.exported, 'shared'));
    nodeFs.chownSync(join(place.exported, 'shared'), 0, 2000);
    nodeFs.chmodSync(join(place.exported, 'shared'), 0o2770);
    const filesystem = await place.start();
    const directory = await walk(filesystem, 'shared');
    const make = (by: vfs.Call, name: string) =>
      filesystem.mkdir(by, { where: { directory, name }, set: { mode: 0o777 } });
    const made = ok(await make(alice, 'd')).attributes!;
    assert.deepEqual([made.uid, made.gid, made.mode], [1001, 2000, 0o2777]);
    refused(await make(bob, 'e'), Status.ACCES);
    assert.equal(process.geteuid?.(), 0);
    assert.equal(nodeFs.readFileSync('/proc/thread-self/status', 'utf8').match(/^Uid:.*$/m)?.[0], 'Uid:\t0\t0\t0\t0');
  });

  it('are held to an ACL where there is one', async (test) => {
    place.put('a', 'x');
    const path = join(place.exported, 'a');
    nodeFs.chmodSync(path, 0o644);
    // Owner rw, user 1002 nothing, the owning group r, group 2000 rw, mask rw, others r.
    const entries: [number, number, number][] = [
      [1, 6, -1],
      [2, 0, 1002],
      [4, 4, -1],
      [8, 6, 2000],
      [0x10, 6, -1],
      [0x20, 4, -1],
    ];
    if (setAcl(path, entries) !== 0) return test.skip('the file system has no ACLs');
    const filesystem = await place.start();
    const object = await walk(filesystem, 'a');
    refused(await filesystem.read(bob, { object, offset: 0, count: 1 }), Status.ACCES);
    ok(await filesystem.read(callBy(vfs.credential(1003, 1003)), { object, offset: 0, count: 1 }));
    ok(await filesystem.write(alice, { object, offset: 0, count: 1, stable: 0, data: [Buffer.from('y')] }));
    assert.equal(setAcl(path, [...entries.slice(0, 1), [2, 4, 1002], ...entries.slice(2)]), 0);
    ok(await filesystem.read(bob, { object, offset: 0, count: 1 }));
  });

  it('lose set-id bits of a file that they write to or truncate', async () => {
    place.put('a', 'xx');
    const path = join(place.exported, 'a');
    const filesystem = await place.start();
    const object = await walk(filesystem, 'a');
    for (const change of [
      () => filesystem.write(bob, { object, offset: 0, count: 1, stable: 0, data: [Buffer.from('y')] }),
      () => filesystem.setattr(bob, { object, set: { size: 1 } }),
    ]) {
      nodeFs.chmodSync(path, 0o6777);
      ok(await change());
      assert.equal(nodeFs.statSync(path).mode & 0o7777, 0o777);
    }
  });

  it('cannot remove from a sticky directory what is not theirs', async () => {
    nodeFs.chmodSync(place.exported, 0o1777);
    const filesystem = await place.start();
    ok(await create(filesystem, 'a', alice));
    refused(await filesystem.remove(bob, { directory: filesystem.root, name: 'a' }), Status.ACCES);
    const to = { directory: filesystem.root, name: 'b' };
    refused(await filesystem.rename(bob, { from: { directory: filesystem.root, name: 'a' }, to }), Status.ACCES);
    ok(await filesystem.remove(alice, { directory: filesystem.root, name: 'a' }));
  });
});

/** Entries of tag, permissions and id (linux/posix_acl_xattr.h). */
function setAcl(path: string, entries: readonly (readonly [number, number, number])[]): number {
  const setxattr = libc.func('int setxattr(const char*, const char*, const void*, size_t, int)');
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeInt32LE(id, 8 + 8 * index);
  }
  return setxattr(path, 'system.posix_acl_access', value, value.length, 0);
}
