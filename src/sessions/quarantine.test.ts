/** Sessions that block their worker, or keep ending it: who has to go, and that the others do not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../base/mod.ts';
import type { FakeWorker } from './supervisor-fixture.test.ts';
import { boom, supervised } from './supervisor-fixture.test.ts';

test('a worker that does not answer for half a minute is ended, and its sessions are opened in the next one', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.ready();
  await clock.advance(3_600_000);
  assert.equal(workers[0]!.terminated, false, 'it answers');
  workers[0]!.isBlocked = true;
  await clock.advance(20_000);
  assert.equal(workers[0]!.terminated, false);
  await clock.advance(21_000);
  assert.equal(workers[0]!.terminated, true);
  assert.match(supervisor.status().lastError!.cause, /not answered for 30 s/);
  assert.equal(workers[1]!.opened()[0]!.port, 40_000);
  workers[1]!.ready();
  assert.equal(supervisor.status().state, 'running');
});

test('a worker that was only late is left alone', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.ready();
  for (let i = 0; i < 10; i++) {
    workers[0]!.isBlocked = true;
    await clock.advance(20_000);
    workers[0]!.isBlocked = false;
    await clock.advance(10_000);
  }
  assert.equal(workers[0]!.terminated, false);
  assert.equal(supervisor.status().restarts, 0);
});

test('a session that ends its worker three times in five minutes is left closed; one that does so now and then comes back', async () => {
  for (const [pauseMs, isOver] of [
    [10_000, true],
    [200_000, false],
  ] as const) {
    const { clock, workers, supervisor, another } = supervised();
    await Promise.all([supervisor.close(), workers[0]!.closed()]);
    const quarantined = another({}, { isQuarantined: true });
    workers[0]!.ready(2);
    for (let i = 0; i < 3; i++) {
      workers.at(-1)!.emit('exit', 1);
      await clock.advance(pauseMs);
      if (i < 2) workers.at(-1)!.ready(2);
    }
    assert.equal(quarantined.status().state, isOver ? 'ended' : 'starting');
    if (!isOver) continue;
    const error = await quarantined.ended;
    assert.equal(error?.code, 'SESSION_FAILED');
    assert.match(error.cause, /3 times in 5 minutes.*code 1/s);
  }
});

test('of twenty sessions in a worker the one that keeps ending it is found, and the nineteen others run', async () => {
  const { clock, workers, supervisor, another } = supervised(silentLog, true);
  await Promise.all([supervisor.close(), workers[0]!.closed()]);
  const all = Array.from({ length: 20 }, () => another({}, { isQuarantined: true, isKept: true, port: 1 }));
  /** Session 9 ends whichever thread it gets ready in. */
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 30; round++) {
      for (const worker of [...workers]) play(worker);
      await clock.advance(1_000);
    }
  };
  const played = new Set<FakeWorker>();
  const play = (worker: FakeWorker): void => {
    if (played.has(worker)) return;
    played.add(worker);
    const sessions = worker.opened().map(({ session }) => session);
    for (const session of sessions) worker.ready(session);
    if (sessions.includes(9)) worker.report({ kind: 'broken', error: boom });
    if (sessions.includes(9)) worker.emit('exit', 1);
  };
  await settle();
  const states = all.map((one) => one.status().state);
  assert.deepEqual(
    states,
    all.map((_, index) => (index === 7 ? 'ended' : 'running')),
  );
  assert.equal((await all[7]!.ended)?.code, 'SESSION_FAILED');
});
