/** What goes wrong while a daemon runs: sessions that fail, origins and stores that are away, clocks that jump. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { type Clock, systemClock, ViaductError } from '../../base/mod.ts';
import { eventually, LogLines } from '../../testing/mod.ts';
import { configuration, house, read, waiting, write } from './fixture.test.ts';

/** The workers' program, whose sessions fail when they are told to. */
const faulty = fileURLToPath(new URL('../../sessions/worker-pool.test.ts', import.meta.url));

test('a session with an unexpected error is failed, with a report; the others go on, and it comes back when told to', async (t) => {
  const place = house(t);
  const workers: Worker[] = [];
  const manager = await place.open({ program: faulty, onWorker: (worker) => workers.push(worker) });
  const view = await place.writer(manager, 'broken');
  const other = await place.client(await manager.create({ name: 'well', origin: place.images, listen: '127.0.0.1:0' }));
  await write(await place.client(view), 0, 'MINE!');
  workers[0]!.postMessage({ kind: 'fault', session: 1, how: 'timer' });
  const stateOf = () => manager.list().find(({ name }) => name === 'broken')?.state;
  await eventually(() => stateOf() === 'failed', 'the session is failed');
  assert.equal(await read(other, 0, 5), 'image');
  const [name] = readdirSync(join(place.state, 'reports'));
  assert.match(name ?? '', new RegExp(`^${view.id}-\\d{8}T[\\d.]+Z\\.json$`));
  const report = JSON.parse(readFileSync(join(place.state, 'reports', name!), 'utf8'));
  assert.match(report.error.cause, /fault of timer\n\s+at /);
  assert.equal(report.plan.writes, 'write-back');
  assert.equal(report.counters.writeBack.pendingFiles, 1);
  assert.ok(Array.isArray(report.log));
  await assert.rejects(
    manager.close('broken'),
    (error) => error instanceof ViaductError && error.code === 'LOG_NOT_EMPTY',
  );
  const again = await manager.reopen('broken');
  assert.deepEqual([again.state, again.place], ['running', view.place]);
  assert.equal(await read(await place.client(again), 0, 5), 'MINE!');
});

test('a failed session stays failed over a restart, until somebody has it opened again', async (t) => {
  const place = house(t);
  const workers: Worker[] = [];
  const first = await place.open({ program: faulty, onWorker: (worker) => workers.push(worker) });
  await place.writer(first, 'broken');
  workers[0]!.postMessage({ kind: 'fault', session: 1, how: 'promise' });
  await eventually(() => first.list()[0]?.state === 'failed', 'the session is failed');
  await first.stop();
  const second = await place.open();
  await second.settled;
  assert.equal(second.list()[0]?.state, 'failed');
  assert.match(second.list()[0]?.lastError?.cause ?? '', /fault of promise/);
  assert.equal((await second.reopen('broken')).state, 'running');
});

test('an origin that is away holds up nobody else: its session waits, and runs when it is back', async (t) => {
  const place = house(t);
  const sessions = [
    { ...common, name: 'away', origin: join(place.scratch, 'later') },
    { ...common, name: 'here', origin: place.images },
    { ...common, name: 'gone', origin: join(place.scratch, 'gone') },
  ];
  const manager = await place.open({ configuration: configuration({ sessions }) });
  await manager.settled;
  const states = () => Object.fromEntries(manager.list().map(({ name, state }) => [name, state]));
  assert.equal(states().here, 'running');
  assert.notEqual(states().away, 'running');
  assert.notEqual(manager.list().find(({ name }) => name === 'away')?.lastError, undefined);
  // It never held anything that would have to be brought there.
  assert.equal((await manager.close('gone', { changes: 'write-back' })).left, undefined);
  renameSync(place.images, join(place.scratch, 'later'));
  await eventually(() => states().away === 'running', 'the session runs', 15_000);
});

test('while the store cannot be written nothing is created, what runs goes on, and what happened is stored later', async (t) => {
  const place = house(t);
  const log = new LogLines();
  const clock = jumping();
  const manager = await place.open({ log, clock });
  const view = await place.writer(manager, 'vm');
  const blocker = new DatabaseSync(join(place.state, 'daemon.sqlite'));
  blocker.exec('BEGIN IMMEDIATE');
  await assert.rejects(
    place.writer(manager, 'more'),
    (error) => error instanceof ViaductError && error.code === 'STORE_FAILED',
  );
  assert.deepEqual(
    manager.list().map(({ name }) => name),
    ['vm'],
  );
  await assert.rejects(manager.close('vm'), (error) => error instanceof ViaductError && error.code === 'STORE_FAILED');
  assert.equal(manager.list()[0]?.state, 'running');
  assert.equal(await read(await place.client(view), 0, 5), 'image');
  blocker.exec('ROLLBACK');
  blocker.close();
  assert.deepEqual(await manager.close('vm'), { id: view.id, name: 'vm' });
  await manager.stop();
  const next = await place.open();
  assert.deepEqual([next.list(), place.directories()], [[], []]);
});

test('a wall clock that jumps a year back or forward ends and hangs nothing', async (t) => {
  const place = house(t);
  const clock = jumping();
  const first = await place.open({ clock });
  const client = await place.client(await place.writer(first, 'vm'));
  for (const jumpMs of [year, -2 * year, year]) {
    clock.jump(jumpMs);
    await write(client, 0, 'MINE!');
    assert.equal(await read(client, 0, 5), 'MINE!');
    assert.equal((await first.create({ name: 'more', origin: place.images, listen: '127.0.0.1:0' })).state, 'running');
    await first.close('more');
  }
  await first.stop();
  clock.jump(-year);
  const second = await place.open({ clock });
  await second.settled;
  assert.equal(second.list()[0]?.state, 'running');
});

const year = 365 * 24 * 3600 * 1000;
const common = {
  kind: 'proxy',
  cache: null,
  allow: [],
  squash: 'none',
  takeOver: false,
  listen: '127.0.0.1:0',
  settings: waiting,
} as const;

function jumping(): Clock & { jump(byMs: number): void } {
  let jumpedMs = 0;
  return {
    now: () => systemClock.now(),
    wallTimeMs: () => systemClock.wallTimeMs() + jumpedMs,
    after: (delayMs, action) => systemClock.after(delayMs, action),
    jump: (byMs) => {
      jumpedMs += byMs;
    },
  };
}
