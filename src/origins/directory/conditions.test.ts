/** Conditional changes and where files lie, against a real directory. */
import assert from 'node:assert/strict';
import * as nodeFs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Clock, systemClock } from '../../base/mod.ts';
import { ok, refused } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { call, isRoot, walk, workplace } from './fixture.test.ts';

const place = workplace();
const { Status, Stability } = vfs;
const holder: vfs.Call = { ...call, fencing: '\0\0\0\0\0\0\0\x01' };
const other: vfs.Call = { ...call, fencing: '\0\0\0\0\0\0\0\x02' };

async function stampOf(filesystem: vfs.Filesystem, object: vfs.FileHandle): Promise<vfs.WccAttributes> {
  const { size, mtime, ctime } = ok(await filesystem.getattr(call, { object })).attributes;
  return { size, mtime, ctime };
}

function writing(object: vfs.FileHandle, text: string, expected: vfs.WccAttributes | undefined): vfs.WriteArguments {
  return { object, offset: 0, count: text.length, stable: Stability.UNSTABLE, data: [Buffer.from(text)], expected };
}

/** In some containers nobody may; then the test is the easier one. */
function forgetNames(): void {
  try {
    nodeFs.writeFileSync('/proc/sys/vm/drop_caches', '2');
  } catch {}
}

const tick = () => new Promise((resolve) => setTimeout(resolve, 12));

describe('a condition on WRITE and SETATTR', () => {
  it('lets through what is based on what the file shows, and nothing else', async () => {
    place.put('disk', 'old');
    const origin = await place.start();
    const object = await walk(origin, 'disk');
    const expected = await stampOf(origin, object);
    refused(await origin.write(call, writing(object, 'bad', { ...expected, size: 4 })), Status.NOT_SYNC);
    const seconds = expected.mtime.seconds - 1;
    refused(
      await origin.write(call, writing(object, 'bad', { ...expected, mtime: { seconds, nanoseconds: 0 } })),
      Status.NOT_SYNC,
    );
    refused(
      await origin.setattr(call, { object, set: { size: 0 }, expected: { ...expected, size: 9 } }),
      Status.NOT_SYNC,
    );
    assert.equal(nodeFs.readFileSync(join(place.exported, 'disk'), 'utf8'), 'old');
    ok(await origin.write(call, writing(object, 'new', expected)));
    assert.equal(nodeFs.readFileSync(join(place.exported, 'disk'), 'utf8'), 'new');
  });

  it('lets changes with one condition under one token be pipelined, and only those', async () => {
    place.put('disk', 'old');
    const origin = await place.start();
    const object = await walk(origin, 'disk');
    const expected = await stampOf(origin, object);
    const replies = await Promise.all([
      origin.write(holder, { ...writing(object, 'one', expected), stable: Stability.FILE_SYNC }),
      origin.write(holder, { ...writing(object, 'two', expected), offset: 1 << 20 }),
      origin.setattr(holder, { object, set: { size: 100 }, expected }),
      origin.write(holder, { ...writing(object, 'six', expected), offset: 50 }),
    ]);
    for (const reply of replies) assert.equal(reply.status, 0);
    refused(await origin.write(other, writing(object, 'bad', expected)), Status.NOT_SYNC);
    refused(await origin.write(call, writing(object, 'bad', expected)), Status.NOT_SYNC);
    ok(await origin.write(holder, writing(object, 'yes', expected)));
    ok(await origin.write(holder, writing(object, 'oui', await stampOf(origin, object))));
    refused(await origin.write(holder, writing(object, 'bad', expected)), Status.NOT_SYNC);
  });

  it('gives two writers without a token no chain: the second is told', async () => {
    place.put('disk', 'old');
    const origin = await place.start();
    const object = await walk(origin, 'disk');
    const expected = await stampOf(origin, object);
    await tick();
    ok(await origin.write(call, writing(object, 'one', expected)));
    refused(await origin.write(call, writing(object, 'two', expected)), Status.NOT_SYNC);
  });

  it('sees what a local process did in the middle of a chain', async () => {
    place.put('disk', 'old');
    const origin = await place.start();
    const object = await walk(origin, 'disk');
    const expected = await stampOf(origin, object);
    ok(await origin.write(holder, writing(object, 'one', expected)));
    await tick();
    nodeFs.writeFileSync(join(place.exported, 'disk'), 'ONE');
    refused(await origin.write(holder, writing(object, 'two', expected)), Status.NOT_SYNC);
    refused(await origin.setattr(holder, { object, set: { size: 1 }, expected }), Status.NOT_SYNC);
    assert.equal(nodeFs.readFileSync(join(place.exported, 'disk'), 'utf8'), 'ONE');
  });

  it('sees what a local process does while a write is under way, whatever that waits for', async () => {
    const slow = { now: 0, step: 0 };
    const clock: Clock = {
      now: () => {
        slow.now += slow.step;
        return slow.now;
      },
      wallTimeMs: systemClock.wallTimeMs,
      after: (delayMs, action) => systemClock.after(delayMs, action),
    };
    const size = 1 << 20;
    place.put('disk', 'o'.repeat(size));
    const disk = join(place.exported, 'disk');
    const origin = await place.start({ clock });
    const object = await walk(origin, 'disk');
    const expected = await stampOf(origin, object);
    const large = (count: number, offset = 0): vfs.WriteArguments => {
      const data = [Buffer.alloc(count / 2, 'n'), Buffer.alloc(count / 2, 'n')];
      return { object, offset, count, stable: Stability.UNSTABLE, data, expected };
    };
    slow.step = 5;
    ok(await origin.write(holder, large(8192)));
    slow.step = 0;
    // From now on the kernel is thought to make writers wait.
    assert.equal(ok(await origin.write(holder, large(size / 2))).count, size / 2, 'alone it is carried out as a whole');
    assert.equal(ok(await origin.write(holder, large(10_000, 77))).count, 10_000);
    const foreign = 'f'.repeat(size);
    const writing = origin.write(holder, large(size / 2));
    nodeFs.writeFileSync(disk, foreign);
    const reply = await writing;
    assert.ok(reply.status === Status.NOT_SYNC || (reply.status === 0 && reply.count < size / 2));
    refused(await origin.write(holder, large(size / 2)), Status.NOT_SYNC);
    refused(await origin.setattr(holder, { object, set: { size: 1 }, expected }), Status.NOT_SYNC);
    assert.equal(nodeFs.readFileSync(disk, 'utf8'), foreign);
  });

  it('is not broken by the holder’s own changes of mode and name', async () => {
    place.put('disk', 'old');
    const origin = await place.start();
    const object = await walk(origin, 'disk');
    const expected = await stampOf(origin, object);
    ok(await origin.write(holder, writing(object, 'one', expected)));
    await tick();
    ok(await origin.setattr(holder, { object, set: { mode: 0o600 } }));
    ok(await origin.write(holder, writing(object, 'two', expected)));
    await tick();
    const [from, to] = ['disk', 'moved'].map((name) => ({ directory: origin.root, name }));
    ok(await origin.rename(holder, { from: from!, to: to! }));
    ok(await origin.write(holder, writing(object, 'three', expected)));
    await tick();
    nodeFs.appendFileSync(join(place.exported, 'moved'), '!');
    refused(await origin.write(holder, writing(object, 'four', expected)), Status.NOT_SYNC);
  });
});

describe('where files lie', () => {
  for (const handles of ['kernel', 'table'] as const) {
    it(`is told of directories and files, however they were found (${handles})`, { skip: !isRoot }, async () => {
      place.put('a/b/disk');
      place.put('a/other');
      place.put('ab/disk');
      nodeFs.linkSync(join(place.exported, 'a/b/disk'), join(place.exported, 'ab/second'));
      let origin = await place.start({ handles });
      const [a, b, ab, disk, other, far] = await Promise.all(
        ['a', 'a/b', 'ab', 'a/b/disk', 'a/other', 'ab/disk'].map((path) => walk(origin, path)),
      );
      // Opened by their handles alone, and their names forgotten by the kernel, as after a restart.
      await place.stop(origin);
      if (handles === 'kernel') forgetNames();
      origin = await place.start({ handles });
      const { locator } = origin;
      assert.equal(locator.isWithin(disk!, b!), true);
      assert.equal(locator.isWithin(disk!, a!), true);
      assert.equal(locator.isWithin(disk!, ab!), true, 'by its second name');
      assert.equal(locator.isWithin(b!, a!), true);
      assert.equal(locator.isWithin(a!, b!), false);
      assert.equal(locator.isWithin(b!, b!), true);
      assert.equal(locator.isWithin(other!, b!), false);
      assert.equal(locator.isWithin(other!, a!), true);
      assert.equal(locator.isWithin(far!, a!), false, '"ab" begins like "a"');
      assert.equal(locator.isWithin(far!, origin.root), true);
      assert.equal(locator.isWithin(origin.root, a!), false);
      assert.equal(locator.pathOf(b!), '/a/b');
      assert.equal(locator.pathOf(origin.root), '/');
      nodeFs.renameSync(join(place.exported, 'a/b'), join(place.exported, 'ab/b'));
      assert.equal(locator.pathOf(b!), '/ab/b');
      assert.equal(locator.isWithin(disk!, a!), false);
      assert.equal(locator.isWithin(disk!, ab!), true);
    });
  }

  it('is not told of what lies in a tree too large to be searched', async () => {
    place.put('big/disk');
    nodeFs.linkSync(join(place.exported, 'big/disk'), join(place.exported, 'name'));
    for (let i = 0; i < 1100; i++) nodeFs.mkdirSync(join(place.exported, `tree/${i}`), { recursive: i === 0 });
    const origin = await place.start();
    const [object, tree] = [await walk(origin, 'name'), await walk(origin, 'tree')];
    assert.equal(origin.locator.isWithin(object, tree), 'unknown');
    nodeFs.rmSync(join(place.exported, 'big/disk'));
    assert.equal(origin.locator.isWithin(object, tree), false);
  });
});
