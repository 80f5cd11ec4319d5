/** Plans: what is accepted, what is refused with which code, and which stack a plan stands for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkPlan, defaultAttributes, parseListen, type SessionPlan } from './plan.ts';
import { describeStack } from './stack.ts';

const plan: SessionPlan = {
  kind: 'proxy',
  origin: 'nfs://server/images',
  stateDirectory: '/var/lib/viaduct',
  listen: { host: '127.0.0.2' },
  allow: [],
  writes: 'write-through',
  squash: 'none',
  connections: 8,
  cache: { directory: '/var/cache/viaduct', sizeBytes: 1 << 30 },
  attributes: defaultAttributes,
  readAheadBytes: 1 << 24,
};

test('a --listen address without a port means the well-known ports', () => {
  assert.deepEqual(parseListen('127.0.0.2'), { host: '127.0.0.2' });
  assert.deepEqual(parseListen('localhost'), { host: '127.0.0.1' });
  assert.deepEqual(parseListen('::1'), { host: '::1' });
  assert.deepEqual(parseListen('[::1]'), { host: '::1' });
});

test('a --listen address with a port means that port', () => {
  assert.deepEqual(parseListen('127.0.0.1:20049'), { host: '127.0.0.1', port: 20_049 });
  assert.deepEqual(parseListen('[2001:db8::1]:0'), { host: '2001:db8::1', port: 0 });
});

test('what is not an address is refused with its own words', () => {
  for (const text of [
    '',
    ':2049',
    'server',
    '127.0.0.1:',
    '127.0.0.1:x',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '[::1',
    '[::1]x',
    '1.2.3',
    '127.0.0.1:1:2',
  ]) {
    assert.throws(() => parseListen(text), { code: 'ADDRESS_INVALID' }, text);
  }
});

test('a plan survives the check unchanged, and posting', () => {
  assert.deepEqual(checkPlan(structuredClone(plan)), plan);
});

test('an address that others can reach needs an allowed network', () => {
  for (const host of ['0.0.0.0', '192.0.2.1', '::', '2001:db8::1']) {
    assert.throws(() => checkPlan({ ...plan, listen: { host } }), { code: 'NOT_ALLOWED' }, host);
    assert.ok(checkPlan({ ...plan, listen: { host }, allow: ['192.0.2.0/24'] }));
  }
  assert.ok(checkPlan({ ...plan, listen: { host: '127.9.9.9' } }));
});

test('networks are checked', () => {
  for (const network of ['x', '1.2.3.4/33', '1.2.3.4/', '1.2.3.4/8/8', '2001:db8::/129', '/8', '']) {
    assert.throws(() => checkPlan({ ...plan, allow: [network] }), { code: 'ADDRESS_INVALID' }, network);
  }
  assert.ok(checkPlan({ ...plan, allow: ['1.2.3.4', '10.0.0.0/8', '2001:db8::/32'] }));
});

test('values that make no sense are refused, and the message names them', () => {
  const cases: [object, RegExp][] = [
    [{ connections: 0 }, /connections/],
    [{ connections: 1000 }, /connections/],
    [{ squash: 'some' }, /squash/],
    [{ cache: { directory: '/x', sizeBytes: 1 } }, /cache\.sizeBytes/],
    [{ listen: { host: '127.0.0.1', port: 70_000 } }, /listen\.port/],
    [{ unknown: 1 }, /unknown/],
    [{ attributes: { ...defaultAttributes, fileMinimumMs: 90_000 } }, /attributes/],
  ];
  for (const [change, pattern] of cases) {
    assert.throws(
      () => checkPlan({ ...plan, ...change }),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'CONFIGURATION_INVALID');
        assert.match(error.message, pattern);
        return true;
      },
    );
  }
});

test('the stack of a proxy: what is hidden and identity on top, stability next to the origin', () => {
  const names = (of: SessionPlan): string[] => describeStack(of).layers.map((layer) => layer.layer);
  const below = ['keepsakes', 'access-cache', 'attribute-cache', 'stability'];
  const cached = ['hidden', 'identity', 'stats', 'file-guard', 'working-sets', 'block-cache'];
  assert.deepEqual(names(plan), [...cached, 'content', ...below]);
  assert.deepEqual(names({ ...plan, content: false }), [...cached, ...below]);
  const hasPromise = (of: SessionPlan): boolean =>
    describeStack(of).layers.some((layer) => layer.layer === 'block-cache' && layer.soleWriter);
  assert.equal(hasPromise(plan), false);
  assert.equal(hasPromise({ ...plan, soleWriter: true }), true);
  const { cache: _, ...withoutCache } = plan;
  assert.deepEqual(names(withoutCache), ['hidden', 'identity', 'stats', 'file-guard', ...below]);
  // Another port each time: another session each time.
  assert.deepEqual(names({ ...withoutCache, listen: { host: '127.0.0.1', port: 0 } }).slice(4), below.slice(1));
  const served: SessionPlan = { ...plan, kind: 'serve' };
  assert.deepEqual(names(served), ['hidden', 'identity', 'stats', 'leases']);
  assert.deepEqual(names({ ...served, writes: 'read-only' }), ['hidden', 'identity', 'stats', 'read-only']);
  const takeover = (of: SessionPlan) => describeStack(of).layers.find((layer) => layer.layer === 'leases')?.takeover;
  assert.equal(takeover(served), 'manual');
  assert.equal(takeover({ ...served, leaseTakeover: 60_000 }), 60_000);
});
