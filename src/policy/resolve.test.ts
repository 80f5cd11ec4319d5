import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ViaductError } from '../base/mod.ts';
import { describeModels, describePolicy, modelNames, policyContradictions, policyLines, resolvePolicy } from './mod.ts';
import { models } from './models.ts';
import type { ModelName, PolicyDocument, SettingKey } from './settings.ts';

function refusal(act: () => unknown): ViaductError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof ViaductError, String(error));
    assert.equal(error.code, 'CONFIGURATION_INVALID');
    assert.notEqual(error.remedy, '');
    return error;
  }
  throw new assert.AssertionError({ message: 'It was accepted.' });
}

test('what the session says wins over its policy, that over its model, that over the default', () => {
  const policies = { build: { model: 'scratch', 'cache-quota': '2G', 'read-ahead': '8M' } } as const;
  const { rows, settings, name } = resolvePolicy('build', policies, { 'read-ahead': '4M' });
  const from = Object.fromEntries(rows.map((row) => [row.key, `${row.value} ${row.from}`]));
  assert.equal(name, 'build');
  assert.equal(from['read-ahead'], '4M this session');
  assert.equal(from['cache-quota'], '2G policy build');
  assert.equal(from['on-close'], 'discard model scratch');
  assert.equal(from.commit, 'local default');
  assert.equal(settings.file.readAheadBytes, 4 * 1024 ** 2);
  assert.equal(settings.session.cacheQuotaBytes, 2 * 1024 ** 3);
});

test('each model resolves, says what for, and why each of its settings is as it is', () => {
  assert.deepEqual(
    describeModels().map(({ name }) => name),
    [...modelNames],
  );
  for (const { name, description, settings } of describeModels()) {
    assert.match(description ?? '', /^[A-Z].*\.$/);
    const own = settings.filter(({ from }) => from === `model ${name}`);
    assert.deepEqual(own.map(({ key }) => key).sort(), Object.keys(models[name as ModelName].settings).sort());
    for (const { key, why, follows } of settings) {
      assert.match(follows, /^[A-Z].*\.$/, `${name} ${key}`);
      if (key in models[name as ModelName].settings) assert.match(why ?? '', /^[A-Z].*\.$/, `${name} ${key}`);
    }
  }
});

test('a delay that is longer than the usual age makes changes older; less than the delay must be said and is refused', () => {
  assert.equal(
    resolvePolicy({ writes: 'write-back', 'write-back-after': '2m' }, {}).settings.session.dirtyAgeMs,
    120_000,
  );
  const error = refusal(() => resolvePolicy({ writes: 'write-back', 'dirty-age': '1s' }, {}));
  assert.match(error.message, /dirty-age: 1s \(.*\) contradicts write-back-after: 5s \(default\)/);
});

const contradicting: readonly [document: PolicyDocument, keys: readonly [SettingKey, SettingKey]][] = [
  [{ writes: 'redirect', commit: 'origin' }, ['writes', 'commit']],
  [{ writes: 'read-only', commit: 'next' }, ['writes', 'commit']],
  [{ commit: 'local' }, ['writes', 'commit']],
  [{ writes: 'read-only', 'dirty-limit': '1G' }, ['writes', 'dirty-limit']],
  [{ 'write-back-rate': '1M' }, ['writes', 'write-back-rate']],
  [{ 'write-back-window': '1M' }, ['writes', 'write-back-window']],
  [{ writes: 'redirect', 'write-back-after': '1s' }, ['writes', 'write-back-after']],
  [{ writes: 'write-back', 'on-close': 'discard' }, ['writes', 'on-close']],
  [{ writes: 'read-only', 'on-close': 'write-back' }, ['writes', 'on-close']],
  [{ model: 'golden', 'attribute-timeout': '5s' }, ['consistency', 'attribute-timeout']],
  [{ consistency: 'strict', 'attribute-timeout': '5s' }, ['consistency', 'attribute-timeout']],
  [{ consistency: 'strict', outage: 'stale' }, ['consistency', 'outage']],
  [{ model: 'vm-memory', pin: true }, ['pin', 'cache-priority']],
];

test('what contradicts is an error that names both settings and whence each came', () => {
  for (const [document, keys] of contradicting) {
    const error = refusal(() => resolvePolicy('mine', { mine: document }));
    for (const key of keys)
      assert.match(error.message, new RegExp(`${key}: .* \\((policy mine|model [a-z-]+|default)\\)`));
    assert.deepEqual(policyContradictions('mine', { mine: document })[0]?.keys, keys, JSON.stringify(document));
  }
});

test('a model’s attribute-timeout goes with its consistency when somebody wants another', () => {
  for (const model of ['home', 'vm-disk'] as const) {
    for (const consistency of ['strict', 'fixed'] as const) {
      const byPolicy = resolvePolicy('mine', { mine: { model, consistency } });
      const bySession = resolvePolicy(model, {}, { consistency });
      for (const { stated } of [byPolicy, bySession])
        assert.deepEqual([stated.consistency, stated['attribute-timeout']], [consistency, undefined]);
    }
    assert.notEqual(resolvePolicy('mine', { mine: { model } }).stated['attribute-timeout'], undefined);
  }
});

test('a contradiction is found wherever its two halves were said', () => {
  const isHalf = (key: string): boolean => key !== 'model';
  for (const [document] of contradicting) {
    const keys = Object.keys(document).filter(isHalf);
    for (const moved of keys) {
      const { [moved as SettingKey]: value, ...rest } = document;
      const error = refusal(() => resolvePolicy('mine', { mine: rest }, { [moved]: value }));
      assert.match(error.message, /\(this session\)/);
    }
  }
});

test('the same settings give the same answer, in any order; nothing that was said is lost', () => {
  const pieces: readonly PolicyDocument[] = [
    { writes: 'write-back' },
    { writes: 'read-only' },
    { writes: 'redirect' },
    { commit: 'origin' },
    { 'on-close': 'discard' },
    { 'dirty-limit': '1G' },
    { 'dirty-age': '2s' },
    { consistency: 'fixed' },
    { 'attribute-timeout': '9s' },
    { pin: true },
    { 'cache-priority': 'low' },
    { model: 'vm-disk' },
    { model: 'golden' },
  ];
  const answer = (document: PolicyDocument): unknown => {
    try {
      return resolvePolicy('mine', { mine: document });
    } catch (error) {
      return (error as Error).message;
    }
  };
  fc.assert(
    fc.property(fc.subarray([...pieces]), (chosen) => {
      const document: PolicyDocument = Object.assign({}, ...chosen);
      const reversed: PolicyDocument = Object.fromEntries(Object.entries(document).toReversed());
      assert.deepEqual(answer(document), answer(reversed));
      const found = policyContradictions('mine', { mine: document });
      assert.equal(typeof answer(document) === 'string', found.length > 0);
      if (found.length > 0) return;
      const { rows } = resolvePolicy('mine', { mine: document });
      for (const key of Object.keys(document).filter((each) => each !== 'model'))
        assert.equal(rows.find((row) => row.key === key)?.from, 'policy mine', key);
    }),
    { seed: 5, numRuns: 400 },
  );
});

test('unknown names and wrong values are told with what there is', () => {
  const unknown = refusal(() => resolvePolicy('biuld', { build: { model: 'scratch' } }));
  assert.match(unknown.message, /no policy "biuld"/);
  assert.match(unknown.remedy, /build, golden, vm-disk/);
  assert.match(refusal(() => resolvePolicy('home', {}, { 'read-ahaed': '1M' })).message, /"read-ahaed"/);
  const wrong = refusal(() => resolvePolicy('home', {}, { 'read-ahead': '1T' }));
  assert.match(wrong.message, /The settings of this session: read-ahead: 1T is too much/);
  assert.match(wrong.remedy, /at most 64M/);
  assert.match(refusal(() => resolvePolicy('constructor', {})).message, /no policy "constructor"/);
});

test('a policy is shown with its model, and each setting with whence it came', () => {
  const lines = policyLines(describePolicy('build', { build: { model: 'scratch', description: 'Nightly builds.' } }));
  assert.equal(lines[0], 'build (policy, starts from model scratch)');
  assert.equal(lines[1], '  Nightly builds.');
  assert.ok(lines.includes('  on-close: discard  (model scratch)'));
});
