/** For the tests of this folder: what a text is told of, one line a problem, in the order of the file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Configuration, parseConfiguration } from './mod.ts';

export const file = '/etc/viaduct/viaduct.yaml';

/** `LINE:COLUMN error KEY: cause | remedy`, with `(and LINE:COLUMN KEY)` of the other place. */
export function problemsOf(text: string): string[] {
  return parseConfiguration(text, { file }).problems.map((problem) => {
    const { line, column, severity, path, cause, remedy, other } = problem;
    const also = other === undefined ? '' : ` (and ${other.line}:${other.column} ${other.path})`;
    return `${line}:${column} ${severity} ${path}: ${cause}${also} | ${remedy}`;
  });
}

/** Of a text without errors. */
export function configurationOf(text: string): Configuration {
  const { configuration, problems } = parseConfiguration(text, { file });
  assert.ok(configuration, JSON.stringify(problems));
  return configuration;
}

test('an empty file is a configuration, with every default', () => {
  for (const text of ['', '\n', '# nothing yet\n', '---\n', 'sessions:\n', 'daemon:\n  api:\n', '\ufeff']) {
    const configuration = configurationOf(text.replace('\ufeff', ''));
    assert.deepEqual(configuration, {
      file,
      daemon: { listenPool: '127.1.0.0/16', reservedAddresses: [], api: {}, logLevel: 'info' },
      caches: [],
      origins: [],
      policies: {},
      rules: [],
      defaultPolicy: 'home',
      sessions: [],
    });
  }
});
