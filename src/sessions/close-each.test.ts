import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeptLog } from '../testing/mod.ts';
import { closeAfterError, closeEach } from './close-each.ts';

function closes(closed: string[]) {
  const good = (name: string) => async () => {
    await Promise.resolve();
    closed.push(name);
  };
  const bad = (name: string) => () => {
    closed.push(name);
    return Promise.reject(new Error(name));
  };
  return [good('listeners'), bad('stack'), good('cache'), bad('files')];
}

test('each is closed in its order, and the first that failed is told', async () => {
  const closed: string[] = [];
  await assert.rejects(closeEach(closes(closed)), /stack/);
  assert.deepEqual(closed, ['listeners', 'stack', 'cache', 'files']);
});

test('after an error, what fails is only noted', async () => {
  const closed: string[] = [];
  const log = new KeptLog();
  await closeAfterError(closes(closed), log);
  assert.equal(closed.length, 4);
  assert.deepEqual(
    log.lines.map(({ fields }) => (fields as { cause: string }).cause),
    ['Error: stack', 'Error: files'],
  );
});
