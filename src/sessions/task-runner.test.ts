/** What a task means for a session with a dirty log, and for one without. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noFile } from './paths.ts';
import { runTask, type TaskTarget } from './task-runner.ts';
import type { SessionTask, TaskEvent, TaskResult } from './tasks.ts';

const done: TaskResult = { outcome: 'done', problems: [] };

function target(hasLog: boolean) {
  const begun: string[] = [];
  const findFile = (path: string): Promise<string> => {
    begun.push(`find ${path}`);
    return path === '/disk' ? Promise.resolve('handle') : Promise.reject(noFile(path, 'there is no such file'));
  };
  const writeBack = {
    async writeBack(file: string | undefined, _onProgress: unknown, onFound?: (handle: string) => void) {
      if (file !== undefined) onFound?.(await findFile(file));
      begun.push(`write ${file ?? 'everything'}`);
      return done;
    },
  };
  const chain = {
    bringOn(file: string | undefined): Promise<TaskResult> {
      begun.push(`bring ${file ?? 'everything'}`);
      return Promise.resolve(done);
    },
  };
  // Only what these tasks touch.
  const invalidate = async (): Promise<void> => {
    begun.push('forget');
  };
  const log = hasLog ? { ...writeBack, policy: 'write-back' } : undefined;
  const parts = { writeBack: log, chain, findFile, invalidate } as unknown as TaskTarget;
  const perform = async (task: SessionTask): Promise<TaskEvent[]> => {
    const events: TaskEvent[] = [];
    await runTask(parts, task, (event) => {
      events.push(event);
    });
    return events;
  };
  const run = (file: string | undefined): Promise<TaskEvent[]> =>
    perform(file === undefined ? { task: 'write-back' } : { task: 'write-back', file });
  return { begun, run, perform };
}

test('without a dirty log one file is brought on by those behind, and no other', async () => {
  const { begun, run } = target(false);
  assert.equal((await run('/disk'))[0]?.kind, 'result');
  assert.deepEqual(begun, ['find /disk', 'bring handle']);
});

test('a file that is not there is an error, and brings nothing on', async () => {
  const { begun, run } = target(false);
  const [event] = await run('/none');
  assert.ok(event?.kind === 'error');
  assert.match(JSON.stringify(event.error), /CONFIGURATION_INVALID.*no such file/);
  assert.deepEqual(begun, ['find /none']);
});

test('with a dirty log the file is looked up once', async () => {
  const { begun, run } = target(true);
  await run('/disk');
  assert.deepEqual(begun, ['find /disk', 'write /disk', 'bring handle']);
});

test('without a file everything is brought on', async () => {
  for (const hasLog of [false, true]) {
    const { begun, run } = target(hasLog);
    await run(undefined);
    assert.deepEqual(begun, [...(hasLog ? ['write everything'] : []), 'bring everything']);
  }
});

test('flush writes back before it forgets; invalidate forgets alone, and what was written stays', async () => {
  for (const [task, expected] of [
    ['flush', ['write everything', 'forget']],
    ['invalidate', ['forget']],
  ] as const) {
    const { begun, perform } = target(true);
    assert.deepEqual(await perform({ task }), [{ kind: 'result', result: done }]);
    assert.deepEqual(begun, expected);
  }
});
