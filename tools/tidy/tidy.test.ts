/** Tidy must fail on each kind of planted violation, and pass on a clean tree. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkCalls } from './calls.ts';
import { checkCatalogues } from './catalogue.ts';
import { checkCycles } from './cycles.ts';
import { checkDeadFiles } from './dead.ts';
import { checkDocuments } from './documents.ts';
import { checkFloors } from './floors.ts';
import { checkSizes } from './size.ts';
import { blank, type Problem, readTree, specifiersOf, type Tree } from './source.ts';

const clean = {
  'src/base/mod.ts': "/** Face. */\nexport { a } from './a.ts';\n",
  'src/base/a.ts': '/** A. */\nexport const a = 1;\n',
  'src/rpc/mod.ts': "/** Face. */\nimport { a } from '../base/mod.ts';\nexport const b = a;\n",
  'src/cli/main.ts': "/** Main. */\nimport { b } from '../rpc/mod.ts';\nconsole.log(b);\n",
};

function errorsOf(check: (tree: Tree) => Problem[], files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'viaduct-tidy-'));
  try {
    for (const [path, text] of Object.entries({ ...clean, ...files })) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return check(readTree(root))
      .filter((problem) => problem.severity === 'error')
      .map((problem) => `${problem.path}:${problem.line}: ${problem.message}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

function one(check: (tree: Tree) => Problem[], files: Record<string, string>, pattern: RegExp): void {
  const errors = errorsOf(check, files);
  assert.equal(errors.length, 1, `expected one error, got:\n${errors.join('\n')}`);
  assert.match(errors[0]!, pattern);
}

test('a clean tree passes every check', () => {
  for (const check of [
    checkFloors,
    checkCycles,
    checkDeadFiles,
    checkCalls,
    checkSizes,
    checkCatalogues,
    checkDocuments,
  ]) {
    assert.deepEqual(errorsOf(check, {}), [], check.name);
  }
});

test('floors: an import that points up is found, types included', () => {
  const text = "/** A. */\nimport type { b } from '../rpc/mod.ts';\nexport const a: typeof b = 1;\n";
  one(checkFloors, { 'src/base/a.ts': text }, /^src\/base\/a\.ts:2: floor 0 .* imports floor 2 /);
});

test('floors: two folders of one floor may not import each other', () => {
  const text = "/** C. */\nimport { b } from '../rpc/mod.ts';\nexport const c = b;\n";
  one(checkFloors, { 'src/cache/mod.ts': text }, /^src\/cache\/mod\.ts:2: /);
});

test('floors: another folder is imported only through its face', () => {
  const text = "/** Face. */\nimport { a } from '../base/a.ts';\nexport const b = a;\n";
  one(checkFloors, { 'src/rpc/mod.ts': text }, /past its face/);
});

test('floors: only tests and benches import src/testing', () => {
  const testing = { 'src/testing/mod.ts': '/** T. */\nexport const t = 1;\n' };
  const user = "/** U. */\nimport { t } from '../testing/mod.ts';\nexport const u = t;\n";
  one(checkFloors, { ...testing, 'src/rpc/u.ts': user }, /only tests and benches/);
  assert.deepEqual(errorsOf(checkFloors, { ...testing, 'src/rpc/u.test.ts': user }), []);
});

test('floors: a folder without a floor, and an import of a file that is not there', () => {
  one(checkFloors, { 'src/attic/mod.ts': '/** A. */\nexport const x = 1;\n' }, /src\/attic has no floor/);
  one(checkFloors, { 'src/rpc/x.ts': "/** X. */\nimport './gone.ts';\n" }, /gone\.ts, which does not exist/);
});

test('cycles: files and folders', () => {
  one(
    checkCycles,
    {
      'src/base/x.ts': "import './y.ts';\n",
      'src/base/y.ts': "import './z.ts';\n",
      'src/base/z.ts': "export * from './x.ts';\n",
    },
    /cycle of files: src\/base\/x\.ts > src\/base\/y\.ts > src\/base\/z\.ts > src\/base\/x\.ts/,
  );
  one(
    checkCycles,
    {
      'src/xdr/p.ts': "import '../vfs/q.ts';\n",
      'src/vfs/q.ts': '\n',
      'src/vfs/r.ts': "import '../xdr/s.ts';\n",
      'src/xdr/s.ts': '\n',
    },
    /cycle of folders: src\/vfs > src\/xdr > src\/vfs/,
  );
});

test('dead files: what nothing reaches is found; a worker started by URL is reached', () => {
  one(checkDeadFiles, { 'src/rpc/attic.ts': '/** A. */\n' }, /attic\.ts:1: no program and no test/);
  const starter =
    "/** M. */\nimport { a } from '../base/mod.ts';\nexport const b = [a, new URL('./w.ts', import.meta.url)];\n";
  assert.deepEqual(errorsOf(checkDeadFiles, { 'src/rpc/mod.ts': starter, 'src/rpc/w.ts': '/** W. */\n' }), []);
});

test('forbidden calls are found in code and not in comments and strings', () => {
  for (const call of [
    'Date.now()',
    'performance.now()',
    'setTimeout(f, 1)',
    'Math.random()',
    'console.log(1)',
    'process.exit(1)',
    'x as any',
  ]) {
    one(checkCalls, { 'src/rpc/x.ts': `/** X. */\nexport const x = ${call};\n` }, /^src\/rpc\/x\.ts:2: /);
    const quoted = `/** Not ${call}. */\nexport const x = '${call}'; // nor ${call}\nconst y = \`${call} \${1} ${call}\`;\n`;
    assert.deepEqual(errorsOf(checkCalls, { 'src/rpc/x.ts': quoted }), []);
  }
  one(checkCalls, { 'src/rpc/x.ts': '/** X. */\n// @ts-ignore\n' }, /type checker/);
  one(checkCalls, { 'src/rpc/x.ts': `/** X. */\nconst x = \`a \${Date.now()} b\`;\n` }, /Date\.now/);
});

test('an exception needs its reason', () => {
  const reason = '// tidy: the deadline of a probe is real time\n';
  assert.deepEqual(errorsOf(checkCalls, { 'src/rpc/x.ts': `/** X. */\n${reason}const x = Date.now();\n` }), []);
  assert.equal(errorsOf(checkCalls, { 'src/rpc/x.ts': '/** X. */\n// tidy:\nconst x = Date.now();\n' }).length, 1);
});

test('sizes: a file of more than 500 lines, and one that does not say what it is for', () => {
  one(checkSizes, { 'src/rpc/x.ts': `/** X. */\n${'export {};\n'.repeat(500)}` }, /501 lines/);
  one(checkSizes, { 'src/rpc/x.ts': 'export const x = 1;\n' }, /no comment at the top/);
});

test('catalogues: a limit without a reason, an error without a section, a section without an error', () => {
  const limits = '/** L. */\nexport const limits = {\n  /** Why. */\n  a: 1,\n\n  b: 2,\n} as const;\n';
  one(checkCatalogues, { 'src/base/limits.ts': limits }, /limits\.ts:6: the limit b has no reason/);
  const errors = "/** E. */\nexport const errorCatalogue = {\n  BROKEN: 'x',\n} as const;\n";
  one(checkCatalogues, { 'src/base/errors.ts': errors }, /no section "## BROKEN"/);
  one(
    checkCatalogues,
    { 'src/base/errors.ts': errors, 'docs/errors.md': '## BROKEN\n## OTHER\n' },
    /OTHER is not in the catalogue/,
  );
});

test('documents: dead links, missing headings, scripts, commands, files and tests', () => {
  one(checkDocuments, { 'README.md': 'a [b](docs/gone.md)\n' }, /docs\/gone\.md leads nowhere/);
  one(checkDocuments, { 'README.md': '# One\n[b](#two) [c](#one)\n' }, /no heading for #two/);
  one(
    checkDocuments,
    { 'README.md': 'run `npm run dance`\n', 'package.json': '{"scripts":{"sing":"x"}}' },
    /no script "dance"/,
  );
  one(checkDocuments, { 'README.md': 'see `src/rpc/gone.ts`\n' }, /src\/rpc\/gone\.ts does not exist/);
  const serve = "/** S. */\nexport const name = new Command('serve');\n";
  one(
    checkDocuments,
    { 'README.md': '```sh\nviaduct serve x\nviaduct dance\n```\n', 'src/cli/serve.ts': serve },
    /no command "viaduct dance"/,
  );
  const tests = "test('it sings', () => {});\n";
  one(
    checkDocuments,
    { 'README.md': '`test/a.test.ts`: "it sings"; `test/a.test.ts`: "it dances"\n', 'test/a.test.ts': tests },
    /test\/a\.test\.ts has no test "it dances"/,
  );
});

test('the scanner knows strings, templates, comments and regular expressions apart', () => {
  const text = "const a = /['\"`/*]/g; // it's\nconst b = `x$" + "{ { c: '}' }.c }y`; /* ' */ import('./z.ts');\n";
  const { words, code } = blank(text);
  assert.equal(words.length, text.length);
  assert.equal(code.length, text.length);
  assert.ok(!words.includes("it's"));
  assert.deepEqual(
    specifiersOf(text).map((specifier) => specifier.text),
    ['./z.ts'],
  );
  assert.deepEqual(specifiersOf('const s = "import \'./no.ts\'";\n'), []);
});
