/** Sessions whose worker fails, dies, hangs or ends as told; the worker threads are played. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../base/mod.ts';
import { boom, place, supervised } from './supervisor-fixture.test.ts';

test('a session that fails before it was ever ready is not opened again, and its error is told', async () => {
  const { clock, workers, supervisor, worker } = supervised();
  const error = { code: 'ADDRESS_IN_USE', cause: 'taken', remedy: 'another' } as const;
  workers[0]!.say({ kind: 'failed', session: 1, error });
  workers[0]!.closed();
  await assert.rejects(supervisor.ready, { code: 'ADDRESS_IN_USE', message: 'taken', remedy: 'another' });
  assert.deepEqual(await supervisor.ended, error);
  await clock.advance(60_000);
  assert.equal(workers.length, 1);
  assert.equal(supervisor.status().state, 'ended');
  assert.equal(worker.status().sessions, 0);
  assert.equal(clock.timers(), 0);
});

test('a worker that dies is restarted and the session opened on its port, with growing delays', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.ready();
  assert.deepEqual(await supervisor.ready, place);
  workers[0]!.emit('error', new Error('boom'));
  workers[0]!.emit('exit', 1);
  assert.equal(supervisor.status().state, 'waiting');
  assert.match(supervisor.status().lastError!.cause, /boom/);
  await clock.advance(99);
  assert.equal(workers.length, 1);
  await clock.advance(1);
  assert.equal(workers.length, 2);
  assert.equal(workers[1]!.opened()[0]!.port, 40_000);
  workers[1]!.emit('exit', 1);
  await clock.advance(199);
  assert.equal(workers.length, 2);
  await clock.advance(1);
  workers[2]!.ready();
  assert.equal(supervisor.status().state, 'running');
  assert.equal(supervisor.status().restarts, 2);
});

test('the delay is bounded, and short again after a worker that was well', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.ready();
  for (let i = 0; i < 20; i++) {
    workers.at(-1)!.emit('exit', 1);
    await clock.advance(10_000);
  }
  assert.equal(workers.length, 21);
  workers.at(-1)!.ready();
  await clock.advance(61_000);
  workers.at(-1)!.emit('exit', 1);
  await clock.advance(100);
  assert.equal(workers.length, 22);
  assert.equal(supervisor.status().state, 'starting');
});

test('all the sessions of a worker that dies are opened in the next one, each on its port; one that was starting once more', async () => {
  const { clock, workers, supervisor, another } = supervised();
  const second = another();
  workers[0]!.ready(1);
  workers[0]!.ready(2);
  const third = another();
  workers[0]!.report({ kind: 'broken', error: boom });
  workers[0]!.emit('exit', 1);
  assert.deepEqual(
    [supervisor, second, third].map((one) => one.status().state),
    ['waiting', 'waiting', 'waiting'],
  );
  assert.deepEqual(second.status().lastError, boom);
  await clock.advance(100);
  assert.deepEqual(
    workers[1]!.opened().map(({ session, port }) => [session, port]),
    [
      [1, 40_000],
      [2, 40_001],
      [3, undefined],
    ],
  );
  workers[1]!.ready(1);
  workers[1]!.emit('exit', 1);
  await assert.rejects(third.ready, { code: 'UNEXPECTED' });
  await clock.advance(200);
  assert.equal(workers[2]!.opened().length, 2);
});

test('a session that could be opened and cannot be opened again is tried until it can, the others go on', async () => {
  const { clock, workers, supervisor, another } = supervised();
  const second = another();
  workers[0]!.ready(1);
  workers[0]!.ready(2);
  workers[0]!.emit('exit', 1);
  await clock.advance(100);
  workers[1]!.ready(2);
  workers[1]!.failed(1);
  workers[1]!.closed(1);
  assert.equal(supervisor.status().state, 'waiting');
  assert.deepEqual(supervisor.status().lastError, boom);
  assert.equal(second.status().state, 'running');
  await clock.advance(100);
  assert.deepEqual(
    workers[1]!.opened().map(({ session, port }) => [session, port]),
    [
      [1, 40_000],
      [2, 40_001],
      [1, 40_000],
    ],
  );
  workers[1]!.ready(1);
  assert.equal(supervisor.status().state, 'running');
  assert.equal(workers.length, 2);
});

test('an unexpected error in a running session ends it alone, with its error', async () => {
  const { clock, workers, supervisor, another } = supervised();
  const second = another();
  workers[0]!.ready(1);
  workers[0]!.ready(2);
  const task = supervisor.run({ task: 'invalidate' }, () => {});
  workers[0]!.failed(1);
  assert.equal(supervisor.status().state, 'closing');
  assert.equal((await task).outcome, 'closed');
  workers[0]!.closed(1);
  assert.deepEqual(await supervisor.ended, boom);
  assert.deepEqual(supervisor.status(), { state: 'ended', place, restarts: 0, lastError: boom });
  assert.equal(await supervisor.close(), undefined);
  await clock.advance(60_000);
  assert.equal(second.status().state, 'running');
  assert.equal(workers.length, 1);
  assert.equal(workers[0]!.terminated, false);
});

test('a failed session that may still hold its log takes its worker with it; without a log it is left behind', async () => {
  const { clock, workers, supervisor, another } = supervised();
  const writer = another({ writes: 'write-back' });
  for (const number of [1, 2]) workers[0]!.ready(number);
  workers[0]!.failed(1);
  workers[0]!.closed(1, false);
  assert.deepEqual(await supervisor.ended, boom);
  assert.equal(workers[0]!.terminated, false);
  const third = another();
  workers[0]!.ready(3);
  workers[0]!.failed(2);
  workers[0]!.closed(2, false);
  assert.deepEqual(await writer.ended, boom);
  assert.equal(workers[0]!.terminated, true);
  await clock.advance(100);
  assert.deepEqual(
    workers[1]!.opened().map(({ session }) => session),
    [3],
  );
  workers[1]!.ready(3);
  assert.equal(third.status().state, 'running');
});

test('what an earlier life of a session says late does not end its next one, nor the worker', async () => {
  const { clock, workers, supervisor, another } = supervised();
  another();
  for (const number of [1, 2]) workers[0]!.ready(number);
  workers[0]!.emit('exit', 1);
  await clock.advance(100);
  const worker = workers[1]!;
  worker.ready(2);
  worker.failed(1);
  worker.closed(1);
  await clock.advance(100);
  const lives = worker.opened().flatMap(({ session, life }) => (session === 1 ? [life] : []));
  assert.equal(new Set(lives).size, 2);
  worker.ready(1);
  worker.say({ kind: 'failed', session: 1, error: boom }, lives[0]);
  worker.say({ kind: 'closed', session: 1, left: undefined, isClean: false }, lives[0]);
  await clock.advance(20_000);
  assert.equal(supervisor.status().state, 'running');
  assert.equal(worker.terminated, false);
});

test('the sessions of a worker that should end and does not wait for it and say so, again and again; one that is to close is over', async () => {
  const said: string[] = [];
  const log = { ...silentLog, error: (_: object, message: string) => said.push(message) };
  const { clock, workers, worker, supervisor, another } = supervised(log);
  const second = another();
  for (const number of [1, 2]) workers[0]!.ready(number);
  workers[0]!.isBlocked = true;
  workers[0]!.isStuck = true;
  await clock.advance(30_000);
  assert.equal(workers[0]!.terminated, true);
  const task = supervisor.run({ task: 'invalidate' }, () => {});
  await clock.advance(10_000);
  assert.equal(supervisor.status().state, 'waiting');
  assert.match(supervisor.status().lastError!.cause, /told to end 10 s ago and is still there/);
  assert.match(worker.status().lastError!.cause, /told to end 10 s ago/);
  assert.equal((await task).outcome, 'closed');
  const third = another();
  assert.equal(third.status().state, 'waiting');
  assert.equal(await second.close(), undefined);
  assert.deepEqual([second.status().state, second.isReleased], ['ended', false]);
  await clock.advance(120_000);
  assert.equal(said.filter((line) => line === 'a worker does not end').length, 3);
  workers[0]!.emit('exit', 1);
  assert.equal(second.isReleased, true);
  await clock.advance(100);
  assert.deepEqual(
    workers[1]!.opened().map(({ session, port }) => [session, port]),
    [
      [1, 40_000],
      [3, undefined],
    ],
  );
  workers[1]!.ready(1);
  assert.equal(supervisor.status().state, 'running');
});

test('a session that is closed and whose worker cannot be ended is over, and so is the end of the worker', async () => {
  const { clock, workers, worker, supervisor } = supervised();
  workers[0]!.ready();
  workers[0]!.isStuck = true;
  const closed = supervisor.close();
  await clock.advance(20_000);
  assert.equal(await closed, undefined);
  const ended = worker.close();
  await clock.advance(5_000);
  await ended;
});

test('closing asks the worker, and stops it when it does not end in time', async () => {
  const polite = supervised();
  polite.workers[0]!.ready();
  const closed = polite.supervisor.close();
  assert.deepEqual(polite.workers[0]!.orders.at(-1), { kind: 'close', session: 1 });
  const left = {
    policy: 'write-back',
    directory: '/log',
    bytes: 1,
    files: 1,
    conflicts: 0,
    lostTo: undefined,
  } as const;
  polite.workers[0]!.say({ kind: 'closed', session: 1, left, isClean: true });
  assert.deepEqual(await closed, left);
  assert.equal(polite.workers[0]!.terminated, false);
  await polite.worker.close();
  assert.equal(polite.workers[0]!.terminated, true);

  const stuck = supervised();
  stuck.workers[0]!.ready();
  const ended = stuck.supervisor.close();
  await stuck.clock.advance(10_000);
  await ended;
  assert.equal(stuck.workers[0]!.terminated, true);
  assert.equal(stuck.supervisor.status().state, 'ended');
  assert.equal(stuck.clock.timers(), 0);
});

test('a session that is still starting is not waited for long', async () => {
  const { clock, workers, supervisor } = supervised();
  const ended = supervisor.close();
  assert.deepEqual(workers[0]!.orders.at(-1), { kind: 'close', session: 1 });
  await clock.advance(250);
  assert.equal(workers[0]!.terminated, false);
  await clock.advance(50);
  await ended;
  assert.equal(workers[0]!.terminated, true);
});

test('a worker with other sessions is stopped for one only if it does not answer', async () => {
  for (const answers of [true, false]) {
    const { clock, workers, supervisor, another, worker } = supervised();
    const second = another();
    workers[0]!.ready(1);
    workers[0]!.isBlocked = !answers;
    const ended = second.close();
    await clock.advance(300);
    assert.equal(workers[0]!.orders.at(-1)!.kind, 'ping');
    await clock.advance(1_000);
    await ended;
    assert.equal(workers[0]!.terminated, !answers);
    assert.equal(second.isReleased, !answers);
    assert.equal(supervisor.status().state, answers ? 'running' : 'waiting');
    if (!answers) continue;
    // What was left behind ends at last.
    workers[0]!.closed(2);
    await second.released;
    assert.equal(worker.status().sessions, 1);
  }
});

test('one with a log that is closed while it starts frees its log, whatever that takes; at the end of the process nobody waits for it', async () => {
  const log = { directory: '/log', limitBytes: 1, writeBackAfterMs: 1, ageMs: 1, windowBytes: 1 };
  const opening = () => {
    const playing = supervised();
    playing.workers[0]!.ready(1);
    return { ...playing, second: playing.another({ kind: 'proxy', writes: 'write-back', dirty: log }) };
  };
  const closes = opening();
  let isOver = false;
  const ended = closes.second.close().then(() => (isOver = true));
  await closes.clock.advance(5_000);
  assert.equal(isOver, false);
  closes.workers[0]!.closed(2);
  await ended;
  assert.equal(closes.workers[0]!.terminated, false);
  const hangs = opening();
  const given = hangs.second.close();
  await hangs.clock.advance(10_000);
  await given;
  assert.equal(hangs.workers[0]!.terminated, true);
  const last = opening();
  void last.second.close();
  const quick = last.second.close({ isLast: true });
  void last.supervisor.close({ isLast: true });
  assert.deepEqual(last.workers[0]!.orders.at(-1), { kind: 'close', session: 1, isLast: true });
  await last.clock.advance(300);
  await quick;
  assert.equal(last.workers[0]!.terminated, false);
});

test('a session that is closed while it waits for a restart starts no worker', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.ready();
  workers[0]!.emit('exit', 1);
  await supervisor.close();
  await clock.advance(60_000);
  assert.equal(workers.length, 1);
});

test('a worker that was started before it was needed takes the first session; closed, it starts no more', async () => {
  const { workers, worker, supervisor, another } = supervised();
  await Promise.all([supervisor.close(), workers[0]!.closed()]);
  workers[0]!.emit('exit', 1);
  worker.warm();
  worker.warm();
  assert.equal(workers.length, 2);
  another();
  assert.deepEqual([workers.length, workers[1]!.opened().length], [2, 1]);
  await worker.close();
  worker.warm();
  assert.equal(workers.length, 2);
});

test('counters come from the worker; one that is stuck or dead has none, after a second at most', async () => {
  const { clock, workers, supervisor } = supervised();
  assert.equal(await supervisor.stats(), undefined);
  workers[0]!.ready();
  const answered = supervisor.stats();
  const stats = { server: { calls: 3 }, layers: {}, writeBack: undefined };
  workers[0]!.say({ kind: 'stats', session: 1, id: 1, stats });
  assert.deepEqual(await answered, stats);
  const late = supervisor.stats();
  await clock.advance(1_000);
  assert.equal(await late, undefined);
  const orphan = supervisor.stats();
  workers[0]!.emit('exit', 1);
  assert.equal(await orphan, undefined);
});

test('log lines reach the log of their session, those of the worker its own', () => {
  const lines: string[] = [];
  const { workers } = supervised({ ...silentLog, warn: (_fields, message) => lines.push(message) });
  workers[0]!.report({ kind: 'log', session: 1, level: 'warn', fields: {}, message: 'look' });
  workers[0]!.report({ kind: 'log', session: undefined, level: 'warn', fields: {}, message: 'there' });
  workers[0]!.report({ kind: 'log', session: 7, level: 'warn', fields: {}, message: 'nobody’s' });
  assert.deepEqual(lines, ['look', 'there']);
});
