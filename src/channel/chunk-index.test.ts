/** Where content lies, out of the meta-data beside files: read once, whatever it is worth. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../base/mod.ts';
import { contentDirectory, metaName } from '../content/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, SimulatedClock } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { ChunkIndex } from './mod.ts';

const call = callBy(vfs.credential(0, 0));
const MiB = 1024 * 1024;

function place() {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const noting = new FaultLayer(memory);
  const set = { mode: 0o755 };
  const where = { directory: memory.root, name: contentDirectory };
  const directory = ok(memory.mkdir(call, { where, set })).object!;
  const make = (at: vfs.FileHandle, name: string, bytes: Uint8Array, size = bytes.length): void => {
    const how = { mode: 'guarded', set: { mode: 0o644, size } } as const;
    const object = ok(memory.create(call, { where: { directory: at, name }, how })).object!;
    const count = bytes.length;
    if (count > 0) ok(memory.write(call, { object, offset: 0, count, stable: 2, data: [bytes] }));
  };
  /** A file and what lies beside it in place of its meta-data. */
  const pair = (name: string, meta: Uint8Array, size?: number): void => {
    make(memory.root, name, Buffer.alloc(10));
    make(directory, metaName(name)!, meta, size);
  };
  const index = new ChunkIndex({ filesystem: noting, clock, log: silentLog });
  /** HAVE calls, one after the other, each after what is known is looked at again. */
  const reads = async (): Promise<number[]> => {
    const counts: number[] = [];
    for (let round = 0; round < 3; round++) {
      const before = noting.calls('read');
      await index.prepare(call, memory.root);
      counts.push(noting.calls('read') - before);
      await clock.advance(11_000);
    }
    return counts;
  };
  return { noting, pair, reads };
}

test('meta-data that is damaged or cut short is not read again', async () => {
  const { pair, reads } = place();
  pair('damaged', Buffer.alloc(100_000, 7));
  pair('short', Buffer.alloc(3));
  const [first, ...later] = await reads();
  assert.ok(first! >= 2, `${first} READs`);
  assert.deepEqual(later, [0, 0]);
});

test('meta-data that is larger than one may be is not read at all', async () => {
  const { pair, reads } = place();
  pair('large', Buffer.alloc(0), 200 * MiB);
  assert.deepEqual(await reads(), [0, 0, 0]);
});

test('what could not be read now is read the next time', async () => {
  const { noting, pair, reads } = place();
  pair('damaged', Buffer.alloc(100_000, 7));
  const heal = noting.on('read', () => ({ status: vfs.Status.IO }));
  const refused = await reads();
  assert.ok(
    refused.every((count) => count === 1),
    String(refused),
  );
  heal();
  assert.deepEqual(await reads(), [1, 0, 0]);
});
