/** Which policies, places and limits of changes fit together, and where write-back stands in the stack. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkPlan, defaultAttributes, type SessionPlan } from './plan.ts';
import { describeStack } from './stack.ts';
import { defaultDirty } from './write-policy.ts';

const plan: SessionPlan = {
  kind: 'proxy',
  origin: 'nfs://server/export',
  stateDirectory: '/var/lib/viaduct',
  listen: { host: '127.0.0.2' },
  allow: [],
  writes: 'write-through',
  squash: 'none',
  connections: 4,
  attributes: defaultAttributes,
  readAheadBytes: 0,
};
const dirty = { directory: '/var/lib/viaduct/dirty', ...defaultDirty };

test('what fits together is accepted', () => {
  const good: Partial<SessionPlan>[] = [
    {},
    { writes: 'read-only' },
    { writes: 'read-only', dirty },
    { writes: 'write-through', dirty },
    { writes: 'write-back', dirty },
    { writes: 'write-back', dirty, commit: 'local', takeOverLease: true },
    { writes: 'write-back', dirty: { ...dirty, rateBytesPerSecond: 1 }, commit: 'origin' },
    { writes: 'redirect', dirty },
    { writes: 'write-through', outage: { misses: 'fail', failAfterMs: 0 } },
    { kind: 'serve', writes: 'read-only' },
    { writes: 'redirect', dirty, onClose: 'discard' },
    { writes: 'write-back', dirty: { ...dirty, windowBytes: 1024 * 1024 }, onClose: 'write-back' },
    { files: { root: '/', defaults: { isPinned: true }, rules: [] } },
  ];
  for (const change of good) assert.ok(checkPlan({ ...plan, ...change }), JSON.stringify(change));
});

test('what contradicts is refused, and the message names it', () => {
  const bad: [Partial<SessionPlan>, RegExp][] = [
    [{ writes: 'write-back' }, /write-back needs a dirty log/],
    [{ writes: 'redirect' }, /redirect needs a dirty log/],
    [{ writes: 'write-through', commit: 'local' }, /--commit local contradicts --policy write-through/],
    [{ writes: 'read-only', commit: 'local' }, /--commit local contradicts --policy read-only/],
    [{ writes: 'read-only', commit: 'origin' }, /--commit origin means nothing with --policy read-only/],
    [{ writes: 'redirect', dirty, commit: 'next' }, /--commit next contradicts --policy redirect/],
    [{ writes: 'redirect', dirty, commit: 'origin' }, /--commit origin contradicts --policy redirect/],
    [{ writes: 'redirect', dirty, takeOverLease: true }, /--take-over contradicts --policy redirect/],
    [{ takeOverLease: true }, /--take-over contradicts --policy write-through/],
    [{ writes: 'write-back', dirty: { ...dirty, ageMs: 1_000 } }, /--dirty-age .* is shorter than --write-back-after/],
    [{ writes: 'write-back', dirty: { ...dirty, limitBytes: 1_000 } }, /dirty\.limitBytes/],
    [{ writes: 'write-back', dirty: { ...dirty, rateBytesPerSecond: 0 } }, /dirty\.rateBytesPerSecond/],
    [{ kind: 'serve', writes: 'write-back', dirty }, /`serve` cannot have --policy write-back/],
    [{ kind: 'serve', outage: { misses: 'fail', failAfterMs: 1 } }, /`serve` keeps no changes back/],
    [{ writes: 'write-back', dirty: { ...dirty, windowBytes: 1_000 } }, /dirty\.windowBytes/],
    [{ writes: 'write-back', dirty, onClose: 'discard' }, /--on-close discard contradicts --policy write-back/],
    [{ writes: 'read-only', onClose: 'write-back' }, /--on-close write-back contradicts --policy read-only/],
    [{ kind: 'serve', onClose: 'keep' }, /`serve` cannot have --on-close keep/],
    [{ kind: 'serve', files: { root: '/', defaults: {}, rules: [] } }, /`serve` has no settings by file/],
    [{ writes: 'sometimes' as 'redirect' }, /writes/],
  ];
  for (const [change, pattern] of bad) {
    assert.throws(() => checkPlan({ ...plan, ...change }), { code: 'CONFIGURATION_INVALID', message: pattern });
  }
});

test('write-back stands over the outage policy, and both over the caches; hold needs no layer', () => {
  const names = (change: Partial<SessionPlan>): string[] =>
    describeStack({ ...plan, ...change }).layers.map((layer) => layer.layer);
  const below = ['keepsakes', 'access-cache', 'attribute-cache', 'stability'];
  const kept = ['hidden', 'identity', 'stats', 'file-guard', 'leases', 'write-back', ...below];
  assert.deepEqual(names({ writes: 'write-back', dirty }), kept);
  const outage = { misses: 'stale', failAfterMs: 1 } as const;
  assert.deepEqual(names({ writes: 'redirect', dirty, outage }), [
    'hidden',
    'identity',
    'stats',
    'file-guard',
    'write-back',
    'outage',
    ...below,
  ]);
  assert.deepEqual(names({ outage }), ['hidden', 'identity', 'stats', 'file-guard', 'outage', ...below]);
  assert.deepEqual(names({ writes: 'read-only', dirty }), ['hidden', 'identity', 'stats', 'read-only', ...below]);
  const { layers, dirty: log } = describeStack({ ...plan, writes: 'write-back', dirty, commit: 'origin' });
  assert.deepEqual(layers[5], { layer: 'write-back', policy: 'write-back', commit: 'origin' });
  assert.deepEqual(log, dirty);
});
