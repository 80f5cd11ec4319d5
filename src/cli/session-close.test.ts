/** What `viaduct session close` has done, and shown, before it closes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ShownSession } from './daemon-port.ts';
import { changesSaid, taskBeforeClose } from './session-close.ts';

type Shown = Parameters<typeof taskBeforeClose>[0];

function session(writes: string, pendingFiles: number, onClose?: string): Shown {
  const status = { writes, data: { writeBack: { pendingFiles } } } as ShownSession['status'];
  return { settings: onClose === undefined ? [] : [{ key: 'on-close', value: onClose, from: 'this session' }], status };
}

test('changes that are to go to the origin are brought there as a task, of a session that redirects by its commit', () => {
  assert.deepEqual(taskBeforeClose(session('write-back', 2), 'write-back'), { task: 'write-back' });
  assert.deepEqual(taskBeforeClose(session('redirect', 2), 'write-back'), { task: 'redirect', how: 'commit' });
  assert.deepEqual(taskBeforeClose(session('redirect', 2, 'write-back'), undefined), {
    task: 'redirect',
    how: 'commit',
  });
});

test('where nothing waits, or nothing is to go there, the session is closed at once', () => {
  assert.equal(taskBeforeClose(session('redirect', 0), 'write-back'), undefined);
  assert.equal(taskBeforeClose(session('redirect', 2, 'write-back'), 'keep'), undefined);
  assert.equal(taskBeforeClose(session('redirect', 2, 'discard'), undefined), undefined);
  assert.equal(taskBeforeClose({ settings: [] }, 'write-back'), undefined);
});

test('flags say what becomes of changes, or leave it to the policy', () => {
  const said = [{ writeBack: true }, { keep: true }, { discard: true }, {}].map(changesSaid);
  assert.deepEqual(said, ['write-back', 'keep', 'discard', undefined]);
});
