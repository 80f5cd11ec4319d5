import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { callBy } from '../testing/mod.ts';
import { credential } from '../vfs/mod.ts';
import { type Extent, UnstableExtents } from './unstable-extents.ts';

const call = callBy(credential(0, 0));
const size = 200;

test('whatever is added and cut, the extents hold what a plain array would', () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'cut', 'committed'),
    offset: fc.nat(size - 1),
    length: fc.integer({ min: 1, max: 80 }),
    verifier: fc.constantFrom('v1', 'v2'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const extents = new UnstableExtents();
      const model: (number | undefined)[] = new Array(size + 80).fill(undefined);
      let tick = 0;
      for (const { kind, offset, length, verifier } of steps) {
        const end = offset + length;
        tick++;
        if (kind === 'add') {
          const data = Buffer.from(new Uint8Array(length).fill(tick).buffer);
          extents.add({ offset, data, verifier, tick, call });
          model.fill(tick, offset, end);
        } else if (kind === 'cut') {
          extents.cut(offset, end);
          model.fill(undefined, offset, end);
        } else {
          for (const extent of gone(extents, offset, end, verifier)) {
            model.fill(undefined, extent.offset, extent.offset + extent.data.length);
          }
          extents.committed(offset, end, verifier, tick);
        }
        check(extents, model);
      }
    }),
    { seed: 20_261_122, numRuns: 500 },
  );
});

function gone(extents: UnstableExtents, start: number, end: number, verifier: string): Extent[] {
  return extents.list().filter((e) => e.offset >= start && e.offset + e.data.length <= end && e.verifier === verifier);
}

function check(extents: UnstableExtents, model: readonly (number | undefined)[]): void {
  const held: (number | undefined)[] = new Array(model.length).fill(undefined);
  const buffers = new Set<ArrayBufferLike>();
  let position = 0;
  let bytes = 0;
  for (const { offset, data } of extents.list()) {
    assert(offset >= position, 'extents overlap or are out of order');
    assert(!buffers.has(data.buffer), 'two extents share a buffer');
    assert(data.buffer.byteLength <= 2 * data.length, 'an extent holds a buffer more than twice its size');
    buffers.add(data.buffer);
    bytes += data.buffer.byteLength + 256;
    for (let i = 0; i < data.length; i++) held[offset + i] = data[i];
    position = offset + data.length;
  }
  assert.deepEqual(held, model);
  assert.equal(extents.bytes, bytes);
}
