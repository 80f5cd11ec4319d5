/** Conflicts of sessions that have ended: told with what clears them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViaductError } from '../base/mod.ts';
import type { EndedSession } from '../control/mod.ts';
import { describeClearing, endedHas } from './conflicts.ts';

const ended: EndedSession = {
  ...{ directory: '/log', origin: 'nfs://x/', listen: '127.0.7.2:2049', policy: 'write-back', restart: 'viaduct p' },
  ...{ pendingBytes: 0, pendingFiles: 0, conflicts: [], unnamedConflicts: 0, problem: undefined },
};

test('the command that clears a conflict names the file as it takes it', () => {
  const conflict = { path: '/golden/a disk.raw', handle: 'aa' };
  assert.equal(
    describeClearing(conflict, '--pid 7'),
    "To clear it: viaduct conflicts clear '/golden/a disk.raw' --pid 7",
  );
  const unnamed = describeClearing({ path: undefined, handle: 'aa' }, undefined, 'viaduct proxy x');
  assert.equal(unnamed, 'To clear it, start the session (viaduct proxy x), then: viaduct conflicts clear handle:aa');
});

test('who would clear a conflict of a session that has ended is told to start it', () => {
  const none = new ViaductError('SESSION_NOT_FOUND', { cause: 'no process has a file in conflict.', remedy: '' });
  assert.equal(endedHas(none, [ended]), undefined, 'it has none');
  const told = endedHas(none, [{ ...ended, unnamedConflicts: 1 }]);
  assert.match(told?.message ?? '', /A session that has ended has one, in its dirty log \(\/log\)/);
  assert.match(told?.remedy ?? '', /start it again: viaduct p; then repeat/);
  const meant = new ViaductError('SESSION_NOT_FOUND', { cause: 'several sessions could be meant: a, b.', remedy: '' });
  assert.equal(endedHas(meant, [{ ...ended, unnamedConflicts: 1 }]), undefined, 'one that runs is meant');
  const other = new ViaductError('TIMED_OUT', { cause: 'silent', remedy: '' });
  assert.equal(endedHas(other, [{ ...ended, unnamedConflicts: 1 }]), undefined);
});
