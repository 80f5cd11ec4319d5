/** Which session gets which address. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViaductError } from '../../base/mod.ts';
import { Addresses } from './addresses.ts';

const inUse = (error: unknown): boolean => error instanceof ViaductError && error.code === 'ADDRESS_IN_USE';

test('addresses of the pool are given round and round, each to one session; a full pool says so', () => {
  const addresses = new Addresses('127.9.0.0/29');
  const given = Array.from({ length: 6 }, (_, index) => addresses.take(`s${index}`, `n${index}`).host);
  assert.deepEqual(
    given,
    [1, 2, 3, 4, 5, 6].map((last) => `127.9.0.${last}`),
  );
  assert.throws(() => addresses.take('s7', 'n7'), inUse);
  addresses.release('s2');
  addresses.release('s0');
  assert.equal(addresses.take('s7', 'n7').host, '127.9.0.1');
  addresses.release('s7');
  assert.equal(addresses.take('s8', 'n8').host, '127.9.0.3', 'the one that was given back last is not next');
});

test('overlapping places are refused with the name of who is there; other ports of an address are not', () => {
  const addresses = new Addresses('127.9.0.0/16');
  addresses.claim('s1', 'vm', { host: '127.0.0.1', port: 20_049 });
  addresses.claim('s2', 'all', { host: '0.0.0.0', port: 30_000 });
  addresses.claim('s3', 'other', { host: '127.0.0.1' });
  assert.throws(() => addresses.claim('s4', 'x', { host: '127.0.0.1', port: 20_049 }), /session vm \(s1\)/);
  assert.throws(() => addresses.claim('s4', 'x', { host: '127.0.0.1', port: 2049 }), inUse);
  assert.throws(() => addresses.claim('s4', 'x', { host: '127.5.5.5', port: 30_000 }), /session all/);
  addresses.claim('s1', 'vm', { host: '127.0.0.1', port: 20_049 });
});

test('a session that came back keeps its address, and the next one is behind it', () => {
  const addresses = new Addresses('127.9.0.0/16');
  addresses.claim('s1', 'vm', { host: '127.9.0.7' });
  assert.equal(addresses.take('s2', 'x').host, '127.9.0.8');
  addresses.setPool('127.10.0.0/30');
  assert.equal(addresses.take('s3', 'y').host, '127.10.0.1');
});

test('a pool that is no network is refused', () => {
  for (const pool of ['127.9.0.0', '127.9.0.0/33', '127.9.0/16', '::1/64', '300.1.1.1/8'])
    assert.throws(() => new Addresses(pool), { code: 'ADDRESS_INVALID' });
});
