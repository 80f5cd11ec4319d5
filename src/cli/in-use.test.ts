/** What a start says whose log, cache or address a running session has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, ViaductError } from '../base/mod.ts';
import type { LogNote } from '../control/mod.ts';
import { explainInUse } from './in-use.ts';

const note: LogNote = {
  ...{ directory: '/dirty', origin: 'nfs://store/', listen: '127.0.0.2:2049', policy: 'write-back' as const },
  ...{ pid: process.pid, startedAt: 'then', restart: 'viaduct proxy' },
};
const dirty = { directory: '/dirty', limitBytes: 1, writeBackAfterMs: 1, ageMs: 1 };

function told(code: ErrorCode, message: string, plan: Parameters<typeof explainInUse>[1]): ViaductError {
  const error = explainInUse(new ViaductError(code, { cause: message, remedy: '' }), plan, () => [note]);
  assert.ok(error instanceof ViaductError);
  assert.equal(error.code, code);
  return error;
}

test('the same session once more is told that it runs already, where, and as which process', () => {
  const same = { listen: { host: '127.0.0.2' }, dirty };
  for (const code of ['LOG_IN_USE', 'CACHE_IN_USE'] as const) {
    const { message, remedy } = told(code, `it is in use by process ${process.pid}`, same);
    assert.match(
      message,
      /This session runs already: process \d+ is a session for nfs:\/\/store\/ at 127\.0\.0\.2:2049/,
    );
    assert.match(remedy, new RegExp(`kill ${process.pid}`));
  }
});

test('another session’s log, cache or address is said to be that session’s', () => {
  const other = { listen: { host: '127.0.0.3' }, dirty };
  assert.match(told('LOG_IN_USE', `in use by process ${process.pid}`, other).remedy, /a --dirty-log of its own/);
  const elsewhere = { listen: { host: '127.0.0.2', port: 2049 }, dirty: { ...dirty, directory: '/other' } };
  assert.match(told('ADDRESS_IN_USE', 'cannot listen', elsewhere).remedy, /a --listen address of its own/);
});

test('nobody is told to end the daemon for one cache or log of it', () => {
  const plan = { listen: { host: '127.0.0.3' }, dirty };
  for (const [code, advice] of [
    ['CACHE_IN_USE', /^Leave out --alone/],
    ['LOG_IN_USE', /viaduct session close NAME/],
  ] as const) {
    const inUse = new ViaductError(code, { cause: `in use by process ${process.pid}`, remedy: '' });
    const told = explainInUse(inUse, plan, () => [note], process.pid);
    assert.ok(told instanceof ViaductError);
    assert.match(told.remedy, advice);
    assert.doesNotMatch(told.remedy, /kill/);
  }
});

test('what no noted session has is told as it was', () => {
  const error = new ViaductError('LOG_IN_USE', { cause: 'in use by process 1', remedy: '' });
  assert.equal(
    explainInUse(error, { listen: { host: '127.0.0.2' }, dirty }, () => [note]),
    error,
  );
  const address = new ViaductError('ADDRESS_IN_USE', { cause: 'cannot listen', remedy: '' });
  assert.equal(
    explainInUse(address, { listen: { host: '127.0.0.9' } }, () => [note]),
    address,
  );
});
