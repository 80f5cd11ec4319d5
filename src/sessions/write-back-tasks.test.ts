/** Tasks of a session with a dirty log while the origin is away or refuses: what they say, and when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../base/mod.ts';
import type { DrainResult } from '../layers/mod.ts';
import { SimulatedClock, settle } from '../testing/mod.ts';
import { FileType } from '../vfs/mod.ts';
import type { TaskProgress } from './tasks.ts';
import { SessionWriteBack, type WriteBackParts } from './write-back.ts';

const nothing: DrainResult = { outcome: 'done', problems: [] };

type Found = { handle: string; type: number } | undefined;

function house(result: DrainResult, find: () => Promise<Found>) {
  const clock = new SimulatedClock();
  const begun: (string | undefined)[] = [];
  const conflict = { kind: 'changed', atMs: 0, savedAs: { where: 'origin', name: '/b.viaduct-conflict' } };
  const layer = {
    writeBack: (handle: string | undefined) => {
      begun.push(handle);
      return Promise.resolve(result);
    },
    status: () => ({ log: {}, files: [], dirtyFiles: 0, dirtyBytes: 0, conflicts: [{ handle: '62', conflict }] }),
  };
  const parts = {
    ...{ policy: 'write-back', directory: '/log', layer, clock, logger: silentLog },
    files: { all: () => [], get: () => ({ place: { directory: 'r', name: 'b' } }) },
    drain: { status: () => ({ state: 'waiting', pendingBytes: 7, bytesPerSecond: 0 }) },
    paths: { pathOf: ({ name }: { name: string }) => `/${name}`, find },
    awaySinceMs: () => undefined,
  };
  // Only what these tasks touch.
  return { clock, begun, session: new SessionWriteBack(parts as unknown as WriteBackParts) };
}

test('a file that cannot be looked up because the origin is away: told after a second, done when it is back', async () => {
  let answer: (found: Found) => void = () => {};
  const { clock, begun, session } = house(
    { outcome: 'done', problems: [] },
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  );
  const told: TaskProgress[] = [];
  const done = session.writeBack('/a', (progress) => told.push(progress));
  await clock.advance(900);
  assert.equal(told.length, 0, 'a slow link is no outage');
  await clock.advance(200);
  assert.deepEqual([told[0]?.state, told[0]?.pendingBytes], ['origin-away', 7]);
  assert.match(told[0]?.problem ?? '', /^\/a is being looked up: the origin has not answered for 1 s$/);
  await clock.advance(60_000);
  assert.deepEqual(begun, []);
  answer({ handle: 'a', type: FileType.REGULAR });
  await settle();
  assert.equal((await done).outcome, 'done');
  assert.deepEqual(begun, ['a']);
});

test('what the origin refuses does not hide the files in conflict', async () => {
  const { session } = house({ outcome: 'refused', problems: ['/a: NOSPC'] }, () => Promise.resolve(undefined));
  const { outcome, problems } = await session.writeBack(undefined, () => {});
  assert.equal(outcome, 'refused');
  assert.equal(problems[0], '/a: NOSPC');
  assert.match(
    problems[1] ?? '',
    /^\/b was changed at the origin by somebody else; .*\/b\.viaduct-conflict; to clear it: viaduct conflicts clear \/b$/,
  );
});

test('a file is also meant by what messages call it whose path is not known, if that is one file', async () => {
  const { clock, begun } = house(nothing, () => Promise.resolve(undefined));
  const records = ['1', '2', '3'].map((handle) => ({
    handle,
    place: { directory: 'd', name: handle === '1' ? 'a' : 'b' },
  }));
  const parts = {
    ...{ policy: 'write-back', directory: '/log', clock, logger: silentLog, awaySinceMs: () => undefined },
    layer: {
      writeBack: (handle: string) => {
        begun.push(handle);
        return Promise.resolve(nothing);
      },
      status: () => ({ log: {}, files: [], conflicts: [] }),
    },
    files: { all: () => records, get: (key: string) => records.find(({ handle }) => handle === key) },
    drain: { status: () => ({ state: 'idle', pendingBytes: 0, bytesPerSecond: 0 }) },
    paths: { pathOf: () => undefined, find: () => Promise.resolve(undefined) },
  };
  const named = new SessionWriteBack(parts as unknown as WriteBackParts);
  for (const file of ['/.../a', '/a', '/handle:32']) await named.writeBack(file, () => {});
  assert.deepEqual(begun, ['1', '1', '2']);
  for (const file of ['/.../b', '/b']) {
    await assert.rejects(
      named.writeBack(file, () => {}),
      /could be several files: handle:32, handle:33/,
    );
  }
  for (const file of ['/d/a', '/.../c', '/handle:39'])
    await assert.rejects(
      named.writeBack(file, () => {}),
      /no such file/,
    );
});
