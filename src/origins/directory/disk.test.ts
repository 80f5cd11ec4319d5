/** A directory origin and its disk: holes, syncs and their errors, special files, times. */
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import * as nodeFs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Clock, type Eventual, isPromise, type Log, silentLog, systemClock } from '../../base/mod.ts';
import { ok, refused } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { call, canMount, create, text, walk, workplace } from './fixture.test.ts';

const { Status, FileType } = vfs;
const place = workplace();

describe('the disk', () => {
  it('keeps holes, and writes zeros that were sent', async () => {
    const filesystem = await place.start();
    const object = ok(await create(filesystem, 'sparse')).object!;
    ok(await filesystem.setattr(call, { object, set: { size: 64 * 2 ** 20 } }));
    const data = [Buffer.alloc(65536)];
    const args = { object, count: 65536, stable: vfs.Stability.FILE_SYNC, data };
    const reply = ok(await filesystem.write(call, { ...args, offset: 2 ** 20 }));
    assert.equal(reply.wcc.after?.size, 64 * 2 ** 20);
    const { used } = ok(await filesystem.getattr(call, { object })).attributes;
    assert.ok(used >= 65536 && used < 2 ** 20, `${used} bytes are allocated`);
    assert.equal(nodeFs.statSync(join(place.exported, 'sparse')).blocks * 512, used);
  });

  it('chains what the replies to overlapping changes of a file say of before and after, without a gap', async () => {
    const filesystem = await place.start();
    const object = ok(await create(filesystem, 'a')).object!;
    const first = ok(await filesystem.getattr(call, { object })).attributes;
    const changes = Array.from({ length: 24 }, (_, index): Eventual<vfs.WccReply> => {
      if (index % 8 === 5) return filesystem.setattr(call, { object, set: { size: 100 + index } });
      const stable = index % 3 === 0 ? vfs.Stability.FILE_SYNC : vfs.Stability.UNSTABLE;
      return filesystem.write(call, { object, offset: index * 10, count: 1, stable, data: [Buffer.from('x')] });
    });
    const hops = (await Promise.all(changes)).map((reply) => ok(reply).wcc);
    let at: vfs.WccAttributes = first;
    for (const { before, after } of hops) {
      assert.ok(before !== undefined && after !== undefined);
      assert.ok(vfs.sameContent(before, at), 'a gap');
      at = after;
    }
    assert.ok(vfs.sameContent(at, ok(await filesystem.getattr(call, { object })).attributes));
  });

  it('shows a local change between two writes as a gap in what the replies say', async () => {
    const filesystem = await place.start();
    const object = ok(await create(filesystem, 'a')).object!;
    const write = () => filesystem.write(call, { object, offset: 0, count: 1, stable: 0, data: [Buffer.from('x')] });
    const { after } = ok(await write()).wcc;
    nodeFs.appendFileSync(join(place.exported, 'a'), 'local');
    const { before } = ok(await write()).wcc;
    assert.ok(after !== undefined && before !== undefined && !vfs.sameContent(after, before));
  });

  it('gets small writes at once, and through threads for a while after one of them was slow', async () => {
    let nowMs = 0;
    let stepMs = 0;
    const clock: Clock = {
      now() {
        nowMs += stepMs;
        return nowMs;
      },
      wallTimeMs: () => nowMs,
      after: systemClock.after,
    };
    const filesystem = await place.start({ clock });
    const object = ok(await create(filesystem, 'a')).object!;
    const data = [Buffer.alloc(4096, 1)];
    const isAtOnce = async (offset: number) => {
      const reply = filesystem.write(call, { object, offset, count: 4096, stable: 0, data });
      ok(await reply);
      return !isPromise(reply);
    };
    assert.equal(await isAtOnce(0), true);
    assert.equal(await isAtOnce(1), false, 'parts of pages');
    stepMs = 5;
    await isAtOnce(0);
    stepMs = 0;
    assert.equal(await isAtOnce(0), false, 'just after a slow one');
    nowMs += 2_000;
    assert.equal(await isAtOnce(0), true);
    assert.equal(nodeFs.statSync(join(place.exported, 'a')).size, 4097);
  });

  it('does not make writes wait for the sync of another', async () => {
    let release = (): void => {};
    const synced = new Promise<number>((resolve) => {
      release = () => resolve(0);
    });
    const filesystem = await place.start({
      disk: { sync: (_fd, dataOnly) => (dataOnly ? synced : Promise.resolve(0)) },
    });
    const object = ok(await create(filesystem, 'a')).object!;
    const args = { object, offset: 0, count: 1, data: [Buffer.from('x')] };
    const stable = filesystem.write(call, { ...args, stable: vfs.Stability.DATA_SYNC });
    ok(await filesystem.write(call, { ...args, stable: vfs.Stability.UNSTABLE }));
    release();
    ok(await stable);
  });

  it('empties a file by CREATE only between two writes, never in the middle of one', async () => {
    const filesystem = await place.start();
    const object = ok(await create(filesystem, 'a')).object!;
    const data = [Buffer.alloc(2 ** 20, 1)];
    const write = () => filesystem.write(call, { object, offset: 0, count: 2 ** 20, stable: 0, data });
    const where = { directory: filesystem.root, name: 'a' };
    const [one, made, two] = await Promise.all([
      write(),
      filesystem.create(call, { where, how: { mode: 'unchecked', set: { size: 0 } } }),
      write(),
    ]);
    assert.equal(ok(one).wcc.after?.size, 2 ** 20);
    assert.equal(ok(made).status, 0);
    assert.equal(ok(two).wcc.before?.size, 0);
  });

  it('that fails to sync fails the call and changes the verifier', async () => {
    let result = 0;
    let syncs = 0;
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (_fields, message) => errors.push(message) };
    const disk = {
      sync(): Promise<number> {
        syncs++;
        return Promise.resolve(result);
      },
    };
    const filesystem = await place.start({ disk, log });
    const object = ok(await create(filesystem, 'a')).object!;
    const write = (stable: vfs.StabilityCode) =>
      filesystem.write(call, { object, offset: 0, count: 1, stable, data: [Buffer.from('x')] });
    const { verifier } = ok(await write(0));
    const before = syncs;
    assert.equal(ok(await filesystem.commit(call, { object, offset: 0, count: 0 })).verifier, verifier);
    assert.equal(syncs, before + 1);
    result = -5;
    ok(await write(0));
    refused(await filesystem.commit(call, { object, offset: 0, count: 0 }), Status.IO);
    assert.ok(errors.length > 0);
    result = 0;
    const changed = ok(await filesystem.commit(call, { object, offset: 0, count: 0 })).verifier;
    assert.notEqual(changed, verifier);
    result = -28;
    refused(await write(2), Status.NOSPC);
    refused(await create(filesystem, 'b'), Status.NOSPC);
    result = 0;
    assert.notEqual(ok(await write(0)).verifier, changed);
  });

  it('is synced before a written file is closed to make room', async () => {
    let result = 0;
    const disk = { sync: () => Promise.resolve(result) };
    const filesystem = await place.start({ disk, maximumDescriptors: 12 });
    const object = ok(await create(filesystem, 'dirty')).object!;
    const args = { object, offset: 0, count: 1, stable: vfs.Stability.UNSTABLE, data: [Buffer.from('x')] };
    const { verifier } = ok(await filesystem.write(call, args));
    result = -5;
    for (let i = 0; i < 30; i++) {
      place.put(`f${i}`);
      await walk(filesystem, `f${i}`);
    }
    result = 0;
    assert.notEqual(ok(await filesystem.commit(call, { object, offset: 0, count: 0 })).verifier, verifier);
  });

  it('shares syncs among creations in one directory', async () => {
    let syncs = 0;
    const disk = {
      sync: () => {
        syncs++;
        return new Promise<number>((resolve) => setTimeout(() => resolve(0), 5));
      },
    };
    const filesystem = await place.start({ disk });
    await Promise.all(Array.from({ length: 200 }, async (_, index) => ok(await create(filesystem, `f${index}`))));
    assert.ok(syncs <= 4, `${syncs} syncs`);
  });

  it('that is full is NOSPC', { skip: !canMount() }, async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', place.exported]);
    try {
      const filesystem = await place.start();
      const object = ok(await create(filesystem, 'a')).object!;
      const args = { object, offset: 0, count: 2 ** 20, stable: vfs.Stability.UNSTABLE, data: [Buffer.alloc(2 ** 20)] };
      const reply = await filesystem.write(call, args);
      if (reply.status === 0) refused(await filesystem.write(call, { ...args, offset: reply.count }), Status.NOSPC);
      else refused(reply, Status.NOSPC);
      await place.stop(filesystem);
    } finally {
      execFileSync('umount', [place.exported]);
    }
  });

  it('that is served read-only is ROFS', async () => {
    place.put('a', 'x');
    const filesystem = await place.start({ readOnly: true });
    const object = await walk(filesystem, 'a');
    assert.equal(await text(filesystem, object), 'x');
    const data = [Buffer.from('y')];
    refused(await filesystem.write(call, { object, offset: 0, count: 1, stable: 2, data }), Status.ROFS);
    refused(await filesystem.setattr(call, { object, set: { mode: 0o600 } }), Status.ROFS);
    refused(await create(filesystem, 'b'), Status.ROFS);
    refused(await filesystem.remove(call, { directory: filesystem.root, name: 'a' }), Status.ROFS);
    assert.equal(ok(await filesystem.access(call, { object, access: 63 })).access & vfs.Access.MODIFY, 0);
  });

  it('is not waited for by a FIFO', async () => {
    const filesystem = await place.start();
    const where = { directory: filesystem.root, name: 'fifo' };
    const made = ok(
      await filesystem.mknod(call, { where, type: FileType.FIFO, set: {}, deviceMajor: 0, deviceMinor: 0 }),
    );
    refused(await filesystem.read(call, { object: made.object!, offset: 0, count: 1 }), Status.INVAL);
    ok(await filesystem.setattr(call, { object: made.object!, set: { mode: 0o600 } }));
    assert.equal(ok(await filesystem.getattr(call, { object: made.object! })).attributes.mode, 0o600);
  });

  it('keeps the verifier of an exclusive CREATE over a restart', async () => {
    const first = await place.start();
    const how = { mode: 'exclusive', verifier: '\x91\x02\x03\x04\xf5\x06\x07\x08' } as const;
    const where = { directory: first.root, name: 'a' };
    const { object } = ok(await first.create(call, { where, how }));
    await place.stop(first);
    const second = await place.start();
    assert.equal(ok(await second.create(call, { where, how })).object, object);
    const other = { mode: 'exclusive', verifier: 'otherone' } as const;
    refused(await second.create(call, { where, how: other }), Status.EXIST);
  });

  it('changes the mode and times of a symbolic link itself, not of its target', async () => {
    place.put('target', 'x');
    nodeFs.symlinkSync('target', join(place.exported, 'link'));
    const before = nodeFs.statSync(join(place.exported, 'target')).mtimeMs;
    const filesystem = await place.start();
    const object = await walk(filesystem, 'link');
    const mtime = { seconds: 1_000_000, nanoseconds: 5 };
    ok(await filesystem.setattr(call, { object, set: { mtime, mode: 0o600 } }));
    assert.deepEqual(ok(await filesystem.getattr(call, { object })).attributes.mtime, mtime);
    assert.equal(nodeFs.statSync(join(place.exported, 'target')).mtimeMs, before);
  });
});
