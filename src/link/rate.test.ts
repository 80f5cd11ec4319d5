import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRate, parseRate } from './mod.ts';

test('rates are decimal bits per second with a unit', () => {
  assert.equal(parseRate('100M'), 100e6);
  assert.equal(parseRate('1G'), 1e9);
  assert.equal(parseRate('14.5m'), 14.5e6);
  assert.equal(parseRate('250000'), 250000);
  assert.equal(parseRate('64kbit/s'), 64000);
  assert.equal(formatRate(100e6), '100 Mbit/s');
  assert.equal(formatRate(1e9), '1 Gbit/s');
});

test('what is no rate is refused with a remedy', () => {
  for (const text of ['', '0', 'fast', '-1M', '10T', '1e9', '5'])
    assert.throws(() => parseRate(text), { code: 'CONFIGURATION_INVALID' }, text);
});
