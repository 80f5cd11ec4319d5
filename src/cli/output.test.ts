/** What a person reads who mistypes a command line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommanderError } from 'commander';
import { ViaductError } from '../base/mod.ts';
import { exitCodes, reportError, usageError } from './output.ts';

test('what commander does not understand becomes an error with code, cause and remedy', () => {
  const from = new CommanderError(
    1,
    'commander.unknownOption',
    "error: unknown option '--jso'\n(Did you mean --json?)",
  );
  const error = usageError(from, 'viaduct cache stat');
  assert.ok(error instanceof ViaductError);
  assert.deepEqual(error.toJSON(), {
    code: 'CONFIGURATION_INVALID',
    cause: "unknown option '--jso' (Did you mean --json?)",
    remedy: '`viaduct cache stat --help` shows what it takes.',
  });
});

test('help and the version are no errors', () => {
  for (const code of ['commander.helpDisplayed', 'commander.version']) {
    const from = new CommanderError(0, code, '(outputHelp)');
    assert.equal(usageError(from, 'viaduct'), from);
  }
});

test('a time that ran out has an exit code of its own', (t) => {
  t.mock.method(process.stderr, 'write', () => true);
  const error = new ViaductError('TIMED_OUT', { cause: 'not done', remedy: 'wait again' });
  assert.equal(reportError(error, false), exitCodes.timedOut);
  assert.equal(new Set(Object.values(exitCodes)).size, Object.keys(exitCodes).length);
});
