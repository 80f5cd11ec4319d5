/** Cases on bytes: READ, WRITE, COMMIT (RFC 1813 3.3.6, 3.3.7, 3.3.21). */
import { strict as assert } from 'node:assert';
import { Stability, Status } from '../../vfs/mod.ts';
import { afterOf, type Define, isBefore, ok, pattern, refused } from './workbench.ts';

export function dataCases(define: Define): void {
  define('what is written is read, at every alignment', async (bench) => {
    const object = await bench.file('a');
    const expected = Buffer.alloc(300_000);
    for (const [offset, length] of [
      [0, 1],
      [1, 4095],
      [4095, 2],
      [65_535, 2],
      [65_536, 65_536],
      [131_071, 70_000],
      [250_000, 50_000],
    ] as const) {
      const data = pattern(length, offset + 7);
      data.copy(expected, offset);
      await bench.write(object, offset, data);
    }
    assert.ok((await bench.readAll(object)).equals(expected));
    for (const [offset, length] of [
      [0, 3],
      [4094, 5],
      [65_530, 12],
      [131_000, 131_073],
    ] as const) {
      const bytes = await bench.readAll(object, offset, length);
      assert.ok(bytes.equals(expected.subarray(offset, offset + length)), `bytes at ${offset}`);
    }
  });

  define('a WRITE of several slices is one piece', async (bench) => {
    const object = await bench.file('a');
    const data = [pattern(10, 1), pattern(70_000, 2), Buffer.alloc(0), pattern(3, 3)];
    const count = data.reduce((sum, slice) => sum + slice.length, 0);
    ok(await bench.filesystem.write(bench.call, { object, offset: 5, count, stable: Stability.FILE_SYNC, data }));
    const expected = Buffer.concat([Buffer.alloc(5), ...data]);
    assert.ok((await bench.readAll(object)).equals(expected));
  });

  define('WRITE does not change or keep the memory it is given', async (bench) => {
    const object = await bench.file('a');
    const data = pattern(20_000);
    await bench.write(object, 0, data, Stability.UNSTABLE);
    assert.ok(data.equals(pattern(20_000)), 'the slices were changed');
    data.fill(0xee);
    ok(await bench.filesystem.commit(bench.call, { object, offset: 0, count: 0 }));
    assert.ok((await bench.readAll(object)).equals(pattern(20_000)), 'the slices were kept');
  });

  define('bytes that were read stay the same until they are released', async (bench) => {
    const object = await bench.file('a', pattern(8192, 1));
    const reply = ok(await bench.filesystem.read(bench.call, { object, offset: 0, count: 8192 }));
    await bench.write(object, 0, pattern(8192, 2));
    assert.ok(Buffer.concat(reply.data).equals(pattern(8192, 1)));
    reply.release?.();
    assert.ok((await bench.readAll(object)).equals(pattern(8192, 2)));
  });

  define('READ says eof exactly at the end of the file', async (bench) => {
    const object = await bench.file('a', pattern(100));
    const cases: [number, number, number, boolean][] = [
      [0, 99, 99, false],
      [0, 100, 100, true],
      [0, 4096, 100, true],
      [99, 1, 1, true],
      [100, 1, 0, true],
      [5000, 10, 0, true],
    ];
    for (const [offset, count, bytes, eof] of cases) {
      const got = await bench.read(object, offset, count);
      assert.deepEqual([got.bytes.length, got.eof], [bytes, eof], `READ of ${count} at ${offset}`);
    }
  });

  define('READ of an empty file is eof; READ of 0 bytes gives none', async (bench) => {
    const empty = await bench.file('empty');
    assert.deepEqual([(await bench.read(empty, 0, 10)).bytes.length, (await bench.read(empty, 0, 10)).eof], [0, true]);
    const object = await bench.file('a', pattern(10));
    assert.equal((await bench.read(object, 3, 0)).bytes.length, 0);
  });

  define('READ far beyond the end is eof', async (bench) => {
    const object = await bench.file('a', pattern(10));
    for (const offset of [2 ** 40, 2 ** 52, Number.MAX_SAFE_INTEGER - 4096]) {
      const { bytes, eof } = await bench.read(object, offset, 4096);
      assert.deepEqual([bytes.length, eof], [0, true]);
    }
  });

  define('holes read as zeros', async (bench) => {
    const object = await bench.file('a');
    await bench.write(object, 1_000_000, pattern(10));
    const bytes = await bench.readAll(object);
    assert.equal(bytes.length, 1_000_010);
    assert.ok(bytes.subarray(0, 1_000_000).every((byte) => byte === 0));
    assert.ok(bytes.subarray(1_000_000).equals(pattern(10)));
  });

  define('WRITE beyond the end extends; WRITE of 0 bytes does not', async (bench) => {
    const object = await bench.file('a', pattern(10));
    const reply = await bench.write(object, 20, pattern(5));
    assert.equal(afterOf(reply.wcc).size, 25);
    if (reply.wcc.before) assert.equal(reply.wcc.before.size, 10);
    await bench.write(object, 1000, Buffer.alloc(0));
    assert.equal((await bench.attributes(object)).size, 25);
  });

  define('WRITE moves mtime and ctime', async (bench) => {
    const object = await bench.file('a', pattern(10));
    const before = await bench.attributes(object);
    await bench.pause();
    const after = afterOf((await bench.write(object, 0, pattern(10, 2))).wcc);
    assert.ok(isBefore(before.mtime, after.mtime), 'mtime');
    assert.ok(isBefore(before.ctime, after.ctime), 'ctime');
  });

  define('times never go back over many writes', async (bench) => {
    const object = await bench.file('a');
    let last = await bench.attributes(object);
    for (let i = 0; i < 50; i++) {
      const after = afterOf((await bench.write(object, i, pattern(1))).wcc);
      assert.ok(!isBefore(after.mtime, last.mtime) && !isBefore(after.ctime, last.ctime), `write ${i}`);
      last = after;
    }
  });

  define('WRITE is at least as stable as asked for, with one verifier', async (bench) => {
    const object = await bench.file('a');
    const verifiers = new Set<string>();
    for (const stable of [Stability.UNSTABLE, Stability.DATA_SYNC, Stability.FILE_SYNC]) {
      const reply = await bench.write(object, 0, pattern(100), stable);
      assert.ok(reply.committed >= stable, `${reply.committed} for ${stable}`);
      assert.equal(reply.verifier.length, 8);
      verifiers.add(reply.verifier);
    }
    const committed = ok(await bench.filesystem.commit(bench.call, { object, offset: 0, count: 0 }));
    verifiers.add(committed.verifier);
    assert.equal(verifiers.size, 1, 'the verifier changed without a restart');
  });

  define('COMMIT of a range, and of a file without unstable data, succeeds', async (bench) => {
    const object = await bench.file('a', pattern(10_000));
    ok(await bench.filesystem.commit(bench.call, { object, offset: 4096, count: 4096 }));
    await bench.write(object, 0, pattern(10), Stability.UNSTABLE);
    ok(await bench.filesystem.commit(bench.call, { object, offset: 0, count: 0 }));
    assert.ok((await bench.readAll(object, 0, 10)).equals(pattern(10)));
  });

  define('WRITE beyond the largest file is FBIG', async (bench) => {
    const object = await bench.file('a', pattern(3));
    const offset = Number.MAX_SAFE_INTEGER - 1;
    const args = { object, offset, count: 4, stable: Stability.FILE_SYNC, data: [pattern(4)] };
    refused(await bench.filesystem.write(bench.call, args), Status.FBIG, Status.INVAL);
    assert.equal((await bench.attributes(object)).size, 3);
  });

  define('READ and WRITE of a directory are ISDIR or INVAL, with attributes', async (bench) => {
    const object = bench.directory;
    const read = await bench.filesystem.read(bench.call, { object, offset: 0, count: 10 });
    refused(read, Status.ISDIR, Status.INVAL);
    const args = { object, offset: 0, count: 1, stable: Stability.FILE_SYNC, data: [pattern(1)] };
    refused(await bench.filesystem.write(bench.call, args), Status.ISDIR, Status.INVAL);
  });

  define('many calls at once see their own bytes', async (bench) => {
    const object = await bench.file('a');
    const indexes = Array.from({ length: 64 }, (_, index) => index);
    await Promise.all(indexes.map((index) => bench.write(object, index * 5000, pattern(5000, index))));
    const all = await Promise.all(indexes.map((index) => bench.readAll(object, index * 5000, 5000)));
    for (const index of indexes) assert.ok(all[index]!.equals(pattern(5000, index)), `write ${index}`);
  });

  define('random writes, truncations and reads agree with a model', async (bench) => {
    const object = await bench.file('a');
    let model = Buffer.alloc(0);
    const random = pattern(4000, 99);
    for (let step = 0; step < 150; step++) {
      const number = random.readUInt32BE(step * 8);
      const offset = number % 200_000;
      const length = random.readUInt32BE(step * 8 + 4) % 20_000;
      if (number % 7 === 0) {
        await bench.set(object, { size: offset });
        const resized = Buffer.alloc(offset);
        model.copy(resized);
        model = resized;
      } else if (number % 7 < 4) {
        const data = pattern(length, step);
        await bench.write(object, offset, data, (number % 3) as 0 | 1 | 2);
        if (length > 0 && offset + length > model.length) {
          model = Buffer.concat([model, Buffer.alloc(offset + length - model.length)]);
        }
        data.copy(model, offset);
      } else {
        const bytes = await bench.readAll(object, offset, length);
        assert.ok(bytes.equals(model.subarray(offset, offset + length)), `step ${step}`);
      }
    }
    assert.ok((await bench.readAll(object)).equals(model));
  });
}
