/** The extent tree against an array of bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ExtentTree } from './extent-tree.ts';

const size = 600;
const change = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'set', 'clear', 'below', 'move'),
  from: fc.nat(size - 1),
  count: fc.integer({ min: 1, max: 40 }),
});

/** The address at each place; 0 where nothing is. */
function drawn(tree: ExtentTree): number[] {
  const places = new Array<number>(size).fill(0);
  let end = 0;
  tree.walk(0, Number.POSITIVE_INFINITY, (offset, count, address) => {
    assert.ok(offset >= end && count > 0, 'extents ascend and are disjoint');
    end = offset + count;
    places.fill(address, offset, end);
  });
  return places;
}

test('extents show the newest record of each place, whatever was set, cleared and moved', () => {
  const runs = fc.property(fc.array(change, { maxLength: 700 }), (changes) => {
    const tree = new ExtentTree();
    let places = new Array<number>(size).fill(0);
    for (const [index, { kind, from, count }] of changes.entries()) {
      const to = Math.min(size, from + count);
      if (kind === 'set') {
        tree.set(from, to - from, index + 1);
        places.fill(index + 1, from, to);
      } else if (kind === 'move') {
        const old = places[from]!;
        if (old === 0) continue;
        tree.readdress(0, size, old, index + 1);
        places = places.map((address) => (address === old ? index + 1 : address));
      } else {
        const below = kind === 'below' ? Math.floor(index / 2) : Number.POSITIVE_INFINITY;
        tree.clear(from, to, below);
        for (let at = from; at < to; at++) if (places[at]! < below) places[at] = 0;
      }
    }
    assert.deepEqual(drawn(tree), places);
    assert.equal(tree.bytes, places.filter((address) => address > 0).length);
    tree.walk(100, 200, (offset, count) => assert.ok(offset >= 100 && offset + count <= 200, 'parts are clipped'));
    tree.sweep(Number.POSITIVE_INFINITY);
    assert.equal(tree.bytes + tree.extents, 0);
  });
  fc.assert(runs, { seed: 20_261_122, numRuns: 150 });
});

test('a million bytes in single sectors, in any order, are found again', () => {
  const tree = new ExtentTree();
  const count = 20_000;
  for (let index = 0; index < count; index++) tree.set(((index * 7_919) % count) * 4_096, 4_096, index + 1);
  assert.equal(tree.extents, count);
  let seen = 0;
  tree.walk(0, Number.POSITIVE_INFINITY, (offset, _bytes, address) => {
    assert.equal((((address - 1) * 7_919) % count) * 4_096, offset);
    seen++;
  });
  assert.equal(seen, count);
});
