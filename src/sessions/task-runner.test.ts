/** What a task means for a session with a dirty log, and for one without. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noFile } from './paths.ts';
import { runTask, type TaskTarget } from './task-runner.ts';
import type { TaskEvent, TaskResult } from './tasks.ts';

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
  const parts = { writeBack: hasLog ? writeBack : undefined, chain, findFile } as unknown as TaskTarget;
  const run = async (file: string | undefined): Promise<TaskEvent[]> => {
    const events: TaskEvent[] = [];
    await runTask(parts, file === undefined ? { task: 'write-back' } : { task: 'write-back', file }, (event) => {
      events.push(event);
    });
    return events;
  };
  return { begun, run };
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
