import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration, parseRate, parseSize, ViaductError, writeDuration, writeSize } from './mod.ts';

const runs = { seed: 20261123, numRuns: 500 };

test('what is written parses back to the same number', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), (bytes) => {
      assert.equal(parseSize(writeSize(bytes), 'size'), bytes);
      assert.equal(parseRate(`${writeSize(bytes)}/s`, 'rate'), bytes);
    }),
    runs,
  );
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7 * 24 * 3600 * 1000 }), (ms) => {
      assert.equal(parseDuration(writeDuration(ms), 'time'), ms);
    }),
    runs,
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 0, max: 4 }), (count, unit) => {
      const bytes = count * 1024 ** unit;
      assert.equal(parseSize(writeSize(bytes), 'size'), bytes);
    }),
    runs,
  );
});

test('sizes and times are written with the largest unit that leaves no rest', () => {
  assert.deepEqual([0, 65537, 1536 * 1024 ** 2, 20 * 1024 ** 3].map(writeSize), ['0', '65537', '1536M', '20G']);
  assert.deepEqual([0, 500, 30_000, 90_000, 5_400_000, 7_200_000].map(writeDuration), [
    '0s',
    '500ms',
    '30s',
    '90s',
    '90m',
    '2h',
  ]);
});

test('sizes are powers of 1024, times default to seconds, rates may say "a second"', () => {
  assert.equal(parseSize('1.5T', 'size'), 1.5 * 1024 ** 4);
  assert.equal(parseSize('20GiB', 'size'), parseSize('20g', 'size'));
  assert.equal(parseDuration('0.5', 'time'), 500);
  assert.equal(parseRate('20M/s', 'rate'), 20 * 1024 ** 2);
});

test('what is no size, time or rate is refused with what to write', () => {
  const refused: readonly [(text: string, option: string) => number, readonly string[]][] = [
    [parseSize, ['', '5x', '-1', '1e3', 'G', '1..2', '99999P', '5 s']],
    [parseDuration, ['', '5x', '-1s', '1d', 's', '9'.repeat(40)]],
    [parseRate, ['', 'fast', '/s', '5/m', '20M/s/s']],
  ];
  for (const [parse, texts] of refused) {
    for (const text of texts) {
      assert.throws(
        () => parse(text, '--option'),
        (error) =>
          error instanceof ViaductError && error.message.startsWith(`--option: "${text}"`) && error.remedy !== '',
        `${parse.name} ${text}`,
      );
    }
  }
});

test('reports round down to what matters', () => {
  assert.deepEqual([999, 61_000, 3_700_000, 200_000_000].map(formatDuration), ['0 s', '1 min', '1 h 1 min', '2 d 7 h']);
});
