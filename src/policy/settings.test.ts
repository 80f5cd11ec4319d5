import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { limits } from '../base/mod.ts';
import { isPurpose } from '../content/mod.ts';
import { commitPlaces, defaultAttributes, defaultDirty, defaultOutage, writePolicies } from '../sessions/mod.ts';
import { policyDocumentSchema, resolvePolicy, settingKeys, settingsSchema, writeSettings } from './mod.ts';
import { commitModes, type SettingsDocument, writeModes } from './settings.ts';
import { writeSetting } from './write.ts';

const day = 24 * 3600 * 1000;
const size = (min: number, max: number = limits.fileBytes) => fc.integer({ min, max }).map(String);
const time = fc.integer({ min: 0, max: day }).map((ms) => `${ms}ms`);
const range = fc.tuple(fc.nat(day), fc.nat(day)).map((pair) => {
  const [minimum, maximum] = pair.toSorted((a, b) => a - b);
  return [`${minimum}ms`, `${maximum}ms`] as [string, string];
});

const documents: fc.Arbitrary<SettingsDocument> = fc.record(
  {
    writes: fc.constantFrom(...writeModes),
    commit: fc.constantFrom(...commitModes),
    'write-back-after': time,
    'write-back-rate': fc.oneof(size(1), fc.constant('unlimited')),
    'write-back-window': size(limits.blockBytes, limits.writeBackFlightBytes),
    'dirty-limit': size(limits.dirtyLogBytes),
    'dirty-age': time,
    outage: fc.oneof(
      fc.constantFrom('hold', 'stale', 'fail'),
      time.map((text) => `fail:${text}`),
    ),
    'on-close': fc.constantFrom('write-back', 'keep', 'discard'),
    'cache-quota': fc.oneof(size(limits.cacheBytes), fc.constant('unlimited')),
    'sole-writer': fc.boolean(),
    purpose: fc.stringMatching(/^[a-z0-9-]{1,32}$/).filter((text) => text !== 'written'),
    'fetch-rate': fc.oneof(size(limits.blockBytes), fc.constant('unlimited')),
    'read-ahead': size(0, limits.readAheadBytes),
    fetch: fc.constantFrom('auto', 'working-set', 'on-demand', 'whole'),
    consistency: fc.constantFrom('fixed', 'close-to-open', 'strict'),
    'attribute-timeout': fc.oneof(time, fc.record({ file: range, directory: range }, { requiredKeys: [] })),
    pin: fc.boolean(),
    'cache-priority': fc.constantFrom('low', 'normal', 'high'),
  },
  { requiredKeys: [] },
);

test('settings that are written parse back to the same values, as documents and as YAML on one line', () => {
  fc.assert(
    fc.property(documents, (document) => {
      const values = settingsSchema.parse(document);
      assert.deepEqual(settingsSchema.parse(writeSettings(values)), values);
      for (const key of settingKeys) {
        const value = values[key];
        if (value === undefined) continue;
        const text = `${key}: ${writeSetting(key, value as never)}`;
        assert.deepEqual(settingsSchema.parse(parseYaml(text))[key], value, text);
      }
    }),
    { seed: 1123, numRuns: 400 },
  );
});

test('each setting has a sentence with an example that is valid', () => {
  for (const [key, schema] of Object.entries(policyDocumentSchema.shape)) {
    const example = /Example: `([^`]+)`\.$/.exec(schema.description ?? '')?.[1];
    assert.ok(example?.startsWith(`${key}: `), `${key} has no example of itself`);
    assert.ok(policyDocumentSchema.safeParse(parseYaml(example ?? '')).success, example);
  }
});

test('the schema for editors says what is written, not what it becomes', () => {
  const schema = z.toJSONSchema(policyDocumentSchema, { io: 'input' });
  assert.equal(schema.additionalProperties, false);
  assert.equal(schema.required, undefined);
  assert.deepEqual(Object.keys(schema.properties!), ['model', 'description', ...settingKeys]);
  const text = JSON.stringify(schema.properties!['dirty-limit']);
  assert.match(text, /"type":"string"/);
  const pattern = /"pattern":("(?:[^"\\]|\\.)*")/.exec(text)![1]!;
  assert.match('20G', new RegExp(JSON.parse(pattern) as string));
});

test('a wrong value is told with what it is, and with what to write', () => {
  const wrong: Record<string, readonly [value: unknown, message: RegExp]> = {
    writes: ['writeback', /"writeback" is none of read-only, write-through/],
    'write-back-after': ['5x', /"5x" is not a time/],
    'write-back-rate': [0, /0 is too little/],
    'write-back-window': ['100G', /100G is too much/],
    'dirty-limit': ['1M', /1M is too little/],
    'dirty-age': [true, /true is not a time/],
    outage: ['fail:', /"" is not a time/],
    'cache-quota': ['none', /"none" is not a size/],
    'sole-writer': ['maybe', /neither true nor false/],
    purpose: ['written', /Viaduct’s own/],
    'fetch-rate': ['fast', /"fast" is not a rate/],
    'read-ahead': [-1, /-1 is not a size/],
    'attribute-timeout': [{ file: ['9s', '3s'] }, /shortest time-out is above the longest/],
  };
  for (const [key, [value, message]] of Object.entries(wrong)) {
    const issue = settingsSchema.safeParse({ [key]: value }).error?.issues[0];
    assert.match(issue?.message ?? 'accepted', message, key);
    assert.equal(issue?.path[0], key);
  }
  assert.equal(settingsSchema.safeParse({ 'write-back': '5s' }).error?.issues[0]?.code, 'unrecognized_keys');
});

test('without settings everything is as `viaduct proxy` without options', () => {
  for (const { session, file } of [resolvePolicy({}, {}).settings, resolvePolicy('home', {}).settings]) {
    assert.equal(session.writes, 'write-through');
    assert.equal(session.dirtyLimitBytes, defaultDirty.limitBytes);
    assert.equal(session.writeBackAfterMs, defaultDirty.writeBackAfterMs);
    assert.equal(session.dirtyAgeMs, defaultDirty.ageMs);
    assert.deepEqual(session.outage, defaultOutage);
    assert.deepEqual(file.attributes, defaultAttributes);
    assert.equal(file.readAheadBytes, limits.readAheadBytes);
    assert.deepEqual([session.purpose, file.fetch, session.isSoleWriter], ['boot', 'auto', false]);
    assert.deepEqual([session.writeBackRateBytesPerSecond, session.fetchRateBytesPerSecond], [undefined, undefined]);
  }
});

test('policies and plans of sessions have the same words', () => {
  assert.deepEqual(writeModes, writePolicies);
  assert.deepEqual(commitModes, commitPlaces);
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (text) => {
      const isTaken = settingsSchema.safeParse({ purpose: text }).success;
      assert.equal(isTaken, isPurpose(text) && text !== 'written');
    }),
    { seed: 3, numRuns: 300 },
  );
});
