import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { credential, FileType, Stability, Status } from '../vfs/mod.ts';
import { filesystemSuite } from './filesystem-suite.ts';
import { MemoryFilesystem } from './memory-filesystem.ts';
import { callBy, ok, pattern, refused } from './suite/workbench.ts';

const cleanup = async () => {};
filesystemSuite('memory', async () => ({ filesystem: new MemoryFilesystem(), cleanup }));
filesystemSuite('volatile memory with poisoned reads', async () => {
  const filesystem = new MemoryFilesystem({ volatile: true, poisonReleased: true });
  return {
    filesystem,
    async cleanup() {
      assert.equal(filesystem.unreleased, 0);
    },
  };
});

const root = callBy(credential(0, 0));

async function fileIn(filesystem: MemoryFilesystem): Promise<string> {
  const where = { directory: filesystem.root, name: 'a' };
  return ok(filesystem.create(root, { where, how: { mode: 'guarded', set: {} } })).object!;
}

function write(filesystem: MemoryFilesystem, object: string, offset: number, data: Buffer, stable: 0 | 1 | 2) {
  return filesystem.write(root, { object, offset, count: data.length, stable, data: [data] });
}

function read(filesystem: MemoryFilesystem, object: string): Buffer {
  return Buffer.concat(ok(filesystem.read(root, { object, offset: 0, count: 1_000_000 })).data);
}

describe('a volatile memory file system', () => {
  it('loses what was not committed when it restarts, and changes its verifier', async () => {
    const filesystem = new MemoryFilesystem({ volatile: true });
    const object = await fileIn(filesystem);
    ok(write(filesystem, object, 0, pattern(100, 1), Stability.FILE_SYNC));
    const reply = ok(write(filesystem, object, 50, pattern(100, 2), Stability.UNSTABLE));
    assert.equal(reply.committed, Stability.UNSTABLE);
    assert.equal(filesystem.restart(), 1);
    assert.notEqual(filesystem.verifier, reply.verifier);
    assert.ok(read(filesystem, object).equals(pattern(100, 1)));
  });

  it('keeps what was committed, and stable writes beside unstable ones', async () => {
    const filesystem = new MemoryFilesystem({ volatile: true });
    const object = await fileIn(filesystem);
    ok(write(filesystem, object, 0, pattern(100, 1), Stability.UNSTABLE));
    ok(filesystem.commit(root, { object, offset: 0, count: 0 }));
    ok(write(filesystem, object, 0, pattern(10, 2), Stability.UNSTABLE));
    ok(write(filesystem, object, 200, pattern(10, 3), Stability.DATA_SYNC));
    filesystem.restart();
    const expected = Buffer.concat([pattern(100, 1), Buffer.alloc(100), pattern(10, 3)]);
    assert.ok(read(filesystem, object).equals(expected));
  });

  it('keeps a truncation, which is always stable', async () => {
    const filesystem = new MemoryFilesystem({ volatile: true });
    const object = await fileIn(filesystem);
    ok(write(filesystem, object, 0, pattern(100, 1), Stability.FILE_SYNC));
    ok(write(filesystem, object, 0, pattern(50, 2), Stability.UNSTABLE));
    ok(filesystem.setattr(root, { object, set: { size: 20 } }));
    filesystem.restart();
    assert.ok(read(filesystem, object).equals(pattern(20, 1)));
  });
});

describe('a memory file system', () => {
  it('is full at its capacity, and has room again after a truncation', async () => {
    const filesystem = new MemoryFilesystem({ capacityBytes: 100_000 });
    const object = await fileIn(filesystem);
    ok(write(filesystem, object, 0, pattern(90_000), Stability.FILE_SYNC));
    refused(write(filesystem, object, 90_000, pattern(20_000), Stability.FILE_SYNC), Status.NOSPC);
    ok(write(filesystem, object, 0, pattern(90_000), Stability.FILE_SYNC));
    ok(filesystem.setattr(root, { object, set: { size: 10_000 } }));
    assert.equal(ok(filesystem.fsstat(root, { object })).freeBytes, 90_000);
    ok(write(filesystem, object, 50_000, pattern(20_000), Stability.FILE_SYNC));
  });

  it('gives strictly growing times from a clock that stands still', async () => {
    const clock = { now: () => 0, wallTimeMs: () => 5000.5, after: () => ({ cancel() {} }) };
    const filesystem = new MemoryFilesystem({ clock });
    const object = await fileIn(filesystem);
    const first = ok(write(filesystem, object, 0, pattern(1), 2)).wcc.after!.mtime;
    const second = ok(write(filesystem, object, 0, pattern(1), 2)).wcc.after!.mtime;
    assert.deepEqual(second, { seconds: 5, nanoseconds: first.nanoseconds + 1 });
  });

  it('tells handles of another file system from stale ones', async () => {
    const [one, two] = [new MemoryFilesystem({ identity: 'one' }), new MemoryFilesystem({ identity: 'two' })];
    refused(one.getattr(root, { object: two.root }), Status.BADHANDLE);
    const object = await fileIn(one);
    ok(one.remove(root, { directory: one.root, name: 'a' }));
    refused(one.getattr(root, { object }), Status.STALE);
    assert.equal(ok(one.getattr(root, { object: one.root })).attributes.type, FileType.DIRECTORY);
  });
});
