/** What is said of a dirty log that is damaged, and of what a salvage lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InspectedLog } from '../dirty/mod.ts';
import { describe, describeLost } from './log.ts';

const log: InspectedLog = {
  ...{ identity: 'nfs:store', bootId: 'boot', cleanlyClosed: false, segments: [], files: [], epochs: [] },
  ...{ notes: new Map(), damage: [{ segment: 'segment-0000000001', position: 9_000, what: 'record' }] },
  damaged: undefined,
};

test('a torn end is no damage; what a start would refuse is, and then nothing is said to be all', () => {
  assert.doesNotMatch(describe(log).join('\n'), /DAMAGE|at least/);
  const damaged = describe({ ...log, damaged: 'stable records do not verify' }).join('\n');
  assert.match(damaged, /holds {5}at least 0 B/);
  assert.match(damaged, /DAMAGE {4}stable records do not verify\nDAMAGE {4}segment-0000000001 at byte 9000: a record/);
  const lost = describe({ ...log, damage: [], damaged: 'segment-0000000001 is not there' }).join('\n');
  assert.match(lost, /DAMAGE {4}segment-0000000001 is not there$/);
});

test('a salvage never says that nothing is lost of a log that is damaged', () => {
  assert.equal(describeLost(0, undefined), '0 B lost');
  assert.equal(describeLost(4096, 'x'), 'at least 4.0 KiB lost: x');
  assert.equal(describeLost(0, 'x'), 'something is lost, and how much is not known: x');
});
