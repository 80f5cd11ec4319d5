import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ViaductError } from '../base/mod.ts';
import type { FileRuleSet } from '../vfs/mod.ts';
import { globMatcher } from './glob.ts';
import {
  choosePolicy,
  compileFileRules,
  explainPath,
  explanationLines,
  type PolicyConfiguration,
  parseSizeRange,
} from './mod.ts';
import { missOf, readRule, writeSizeRange } from './rules.ts';

const MiB = 1024 * 1024;
const configuration: PolicyConfiguration = {
  defaultPolicy: 'home',
  policies: { build: { model: 'scratch', 'cache-quota': '2G', 'read-ahead': '8M' } },
  rules: [
    { name: 'memory images', path: '**/*.{ram,mem}', size: '>= 64M', policy: 'vm-memory' },
    { name: 'images', path: ['/golden/**', '/templates/**'], origin: 'store', policy: 'golden' },
    { path: '/builds/**', policy: 'build' },
  ],
};
const at = (path: string, origin?: string) => ({ path, origin });

test('a session has the policy that it names, else that of the first rule for its path, else the default', () => {
  const chosen = (place: { path: string; origin?: string | undefined }, policy?: string): string => {
    const { name, rule } = choosePolicy({ policy }, place, configuration);
    return `${name} by ${rule}`;
  };
  assert.equal(chosen(at('/builds/x'), 'vm-disk'), 'vm-disk by undefined');
  assert.equal(chosen(at('/builds/x')), 'build by rule 3');
  assert.equal(chosen(at('/golden', 'store')), 'golden by images');
  assert.equal(chosen(at('/golden', 'other')), 'home by undefined');
  // A rule with a size holds for files only.
  assert.equal(chosen(at('/vm.mem')), 'home by undefined');
});

test('a server of files keeps nothing back: the error names the rule that wanted it', () => {
  assert.throws(
    () => choosePolicy({ kind: 'serve' }, at('/builds/x'), configuration),
    (error) =>
      error instanceof ViaductError &&
      /kind: serve .* writes: redirect \(model scratch, by rule 3\)/.test(error.message),
  );
  assert.throws(
    () => choosePolicy({ kind: 'serve', settings: { outage: 'stale' } }, at('/'), configuration),
    /outage: stale \(this session\)/,
  );
  assert.equal(choosePolicy({ kind: 'serve' }, at('/'), configuration).name, 'home');
});

test('the worker is told what rules state of files, and nothing of what is the session’s', () => {
  const policy = choosePolicy({ settings: { 'read-ahead': '1M' } }, at('/builds', 'store'), configuration);
  const { root, defaults, rules } = compileFileRules(policy, at('/builds', 'store'), configuration);
  assert.equal(root, '/builds');
  assert.equal(defaults.readAheadBytes, MiB);
  assert.deepEqual(defaults.attributes, { minimumMs: 3_000, maximumMs: 60_000 });
  assert.deepEqual(
    rules.map(({ name, path }) => `${name} ${path}`),
    ['memory images **/*.{ram,mem}', 'images /golden/**', 'images /templates/**', 'rule 3 /builds/**'],
  );
  assert.deepEqual(rules[0]!.settings, {
    readAheadBytes: 64 * MiB,
    fetch: 'whole',
    attributes: { minimumMs: 60_000, maximumMs: 3_600_000 },
    directoryAttributes: { minimumMs: 60_000, maximumMs: 3_600_000 },
    priority: 'low',
  });
  assert.deepEqual([rules[0]!.minBytes, rules[0]!.maxBytes], [64 * MiB, undefined]);
  assert.equal(rules[1]!.settings.isReadOnly, true);
  // The rule names the session's own policy: it must not undo what this session says.
  assert.deepEqual(rules[3]!.settings, {});
  assert.deepEqual(structuredClone(rules), rules);
});

test('rules for other origins are not the worker’s', () => {
  const place = at('/x', 'other');
  const { rules } = compileFileRules(choosePolicy({}, place, configuration), place, configuration);
  assert.deepEqual(
    rules.map(({ name }) => name),
    ['memory images', 'rule 3'],
  );
});

test('a size condition holds from its first to its last byte, and what is written parses back', () => {
  const table: Record<string, readonly [first: number, last: number | undefined]> = {
    '>= 64M': [64 * MiB, undefined],
    '> 64M': [64 * MiB + 1, undefined],
    '< 1G': [0, 1024 * MiB - 1],
    '<=1G': [0, 1024 * MiB],
    '= 512': [512, 512],
    '>= 64M, < 1G': [64 * MiB, 1024 * MiB - 1],
    '>= 64M and <= 1G': [64 * MiB, 1024 * MiB],
    '64M..1G': [64 * MiB, 1024 * MiB],
    '>= 0': [0, undefined],
  };
  for (const [text, [first, last]] of Object.entries(table)) {
    const range = parseSizeRange(text, 'size');
    assert.deepEqual([range.minBytes, range.maxBytes], [first, last], text);
    assert.deepEqual(parseSizeRange(writeSizeRange(range), 'size'), range);
  }
  for (const text of ['', '64M', '> 1G, < 64M', '=> 1M', '1G..64M', '..1G', '< 0', '>= 5x'])
    assert.throws(() => parseSizeRange(text, 'rule x: size'), /^ViaductError: rule x: size/, text);
});

/** As src/sessions does it: the first rule that matches, from what `compileFileRules` gives. */
function workerChoice({ rules }: FileRuleSet, path: string, size: number | undefined): string | undefined {
  return rules.find(({ path: pattern, minBytes, maxBytes }) => {
    const isSized = minBytes !== undefined || maxBytes !== undefined;
    if (isSized && (size === undefined || size < (minBytes ?? 0) || size > (maxBytes ?? size))) return false;
    return globMatcher(pattern)(path);
  })?.name;
}

test('the first rule that matches wins: the worker, the explanation and the rules themselves agree', () => {
  const paths = ['/golden/**', '**/*.mem', '/a/*', '*.img', '**', '/a/b.img', '/golden/{a,b}/**'];
  const rule = fc.record({
    path: fc.oneof(fc.constantFrom(...paths), fc.subarray(paths, { minLength: 1 })),
    size: fc.constantFrom(undefined, '>= 64M', '< 64M', '>= 0'),
    origin: fc.constantFrom(undefined, 'store', 'other'),
    policy: fc.constantFrom('golden', 'vm-disk', 'scratch', 'home'),
  });
  const subject = fc.record({
    path: fc.constantFrom('/a/b.img', '/golden/a/x.mem', '/golden', '/x.mem', '/z/y'),
    sizeBytes: fc.constantFrom(undefined, 0, 64 * MiB),
  });
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 6 }), subject, (documents, { path, sizeBytes }) => {
      const all = { ...configuration, rules: documents };
      const root = at('/', 'store');
      const request = { policy: 'home' };
      const rules = documents.map(readRule);
      const first = rules.find((each) => missOf(each, { ...root, path, sizeBytes }) === undefined)?.name;
      const compiled = compileFileRules(choosePolicy(request, root, all), root, all);
      assert.equal(workerChoice(compiled, path, sizeBytes), first);
      const { file } = explainPath({ root, path, sizeBytes, request }, all);
      assert.equal(file.rules.find(({ verdict }) => verdict === 'won')?.rule, first);
      assert.deepEqual(
        file.rules.map((each) => each.rule),
        rules.map((each) => each.name),
      );
    }),
    { seed: 11, numRuns: 300 },
  );
});

test('an explanation says which rule won, why the others did not, whence settings came, and what is not applied', () => {
  const question = { root: at('/builds', 'store'), path: '/builds/vm.mem', sizeBytes: 100 * MiB, request: {} };
  const lines = explanationLines(explainPath(question, configuration));
  for (const line of [
    'store:/builds/vm.mem (100 MiB)',
    'Session: policy build (Work on top of an image, thrown away when the session ends.)',
    '  - memory images (vm-memory): It has a size, so it holds for files, not for sessions.',
    '  - images (golden): /builds does not match /golden/** or /templates/**.',
    '  * rule 3 (build): It is the first rule that matches /builds.',
    'File: policy vm-memory',
    '  * memory images (vm-memory): It is the first rule that matches /builds/vm.mem.',
    '  - rule 3 (build): It would match, but memory images comes first.',
    '  fetch: whole  (model vm-memory, by memory images)',
    '  cache-quota: 2G  (policy build)',
    'Not applied: of the whole session',
    '  writes: write-back  (model vm-memory, by memory images); for this session it is redirect',
  ]) {
    assert.ok(lines.includes(line), `${line}\nin\n${lines.join('\n')}`);
  }
});

test('an explanation tells of sizes that are unknown or do not fit', () => {
  const explain = (sizeBytes?: number) =>
    explainPath({ root: at('/vm'), path: '/vm/a.mem', sizeBytes, request: {} }, configuration).file;
  assert.match(explain().rules[0]!.reason, /asks for a size \(>= 64M\), and none is known/);
  assert.match(explain(MiB).rules[0]!.reason, /Its size, 1\.0 MiB, is not >= 64M/);
  assert.equal(explain(MiB).policy, 'home');
  assert.match(explain(MiB).reason, /No rule matches/);
});

test('a file that a rule makes read-only is explained as such in a session that writes', () => {
  const place = at('/', 'store');
  const request = { policy: 'vm-disk' };
  const { settings, notApplied } = explainPath({ root: place, path: '/golden/a.img', request }, configuration);
  const row = (key: string) => settings.find((each) => each.key === key);
  assert.equal(row('writes')?.value, 'read-only');
  assert.equal(row('writes')?.from, 'model golden, by images');
  assert.match(row('writes')?.follows ?? '', /Every change is refused/);
  assert.equal(row('consistency')?.value, 'fixed');
  // What is fixed is not believed for a time.
  assert.equal(row('attribute-timeout'), undefined);
  assert.equal(row('on-close')?.value, 'write-back');
  assert.deepEqual(notApplied, []);
});
