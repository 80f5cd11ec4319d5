/** How a command ends that serves through a session of its own or of the daemon. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViaductError } from '../base/mod.ts';
import { untilEnd } from './session-command.ts';

test('a session that ends by itself has the rest undone at once: nobody waits for a server that is gone', async () => {
  const gone = new ViaductError('DAEMON_UNREACHABLE', { cause: 'killed', remedy: 'none' });
  const done: string[] = [];
  // As a plain unmount of a hard mount whose server does not answer.
  const finish = (): Promise<void> => new Promise(() => {});
  await assert.rejects(untilEnd(Promise.resolve(gone), { finish, abandon: () => done.push('abandoned') }), gone);
  assert.deepEqual(done, ['abandoned']);
});

test('a command that is told to end undoes the rest in order, and nothing by force', async () => {
  const done: string[] = [];
  const finish = async (): Promise<void> => void done.push('finished');
  await untilEnd(new Promise(() => {}), { finish, abandon: () => done.push('abandoned') });
  assert.deepEqual(done, ['finished']);
});
