/** A session's worker that fails, dies, hangs or ends as told. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { type Log, silentLog } from '../base/mod.ts';
import { SimulatedClock } from '../testing/mod.ts';
import type { ListeningPlace, WorkerOrder, WorkerReport } from './messages.ts';
import { Supervisor, type WorkerHandle } from './supervisor.ts';

const place: ListeningPlace = { host: '127.0.0.1', port: 40_000, portmapper: 'none' };

class FakeWorker extends EventEmitter implements WorkerHandle {
  readonly orders: WorkerOrder[] = [];
  readonly port: number | undefined;
  terminated = false;

  constructor(port: number | undefined) {
    super();
    this.port = port;
  }
  postMessage(order: WorkerOrder): void {
    this.orders.push(order);
  }
  terminate(): Promise<number> {
    this.terminated = true;
    this.emit('exit', 1);
    return Promise.resolve(1);
  }
  report(report: WorkerReport): void {
    this.emit('message', report);
  }
}

function supervised(log: Log = silentLog): { clock: SimulatedClock; workers: FakeWorker[]; supervisor: Supervisor } {
  const clock = new SimulatedClock();
  const workers: FakeWorker[] = [];
  const supervisor = new Supervisor({
    clock,
    log,
    startWorker(port) {
      const worker = new FakeWorker(port);
      workers.push(worker);
      return worker;
    },
  });
  return { clock, workers, supervisor };
}

test('a worker that fails before it was ever ready is not restarted, and its error is the session’s', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.report({ kind: 'failed', error: { code: 'ADDRESS_IN_USE', cause: 'taken', remedy: 'another' } });
  workers[0]!.emit('exit', 1);
  await assert.rejects(supervisor.ready, { code: 'ADDRESS_IN_USE', message: 'taken', remedy: 'another' });
  await clock.advance(60_000);
  assert.equal(workers.length, 1);
  assert.equal(supervisor.status().state, 'ended');
});

test('a worker that dies is restarted on its port, with growing delays', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.report({ kind: 'ready', place });
  assert.deepEqual(await supervisor.ready, place);
  workers[0]!.emit('error', new Error('boom'));
  workers[0]!.emit('exit', 1);
  assert.equal(supervisor.status().state, 'waiting');
  assert.match(supervisor.status().lastError!.cause, /boom/);
  await clock.advance(99);
  assert.equal(workers.length, 1);
  await clock.advance(1);
  assert.equal(workers.length, 2);
  assert.equal(workers[1]!.port, 40_000);
  workers[1]!.emit('exit', 1);
  await clock.advance(199);
  assert.equal(workers.length, 2);
  await clock.advance(1);
  workers[2]!.report({ kind: 'ready', place });
  assert.equal(supervisor.status().state, 'running');
  assert.equal(supervisor.status().restarts, 2);
});

test('the delay is bounded, and short again after a worker that was well', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.report({ kind: 'ready', place });
  for (let i = 0; i < 20; i++) {
    workers.at(-1)!.emit('exit', 1);
    await clock.advance(10_000);
  }
  assert.equal(workers.length, 21);
  workers.at(-1)!.report({ kind: 'ready', place });
  await clock.advance(61_000);
  workers.at(-1)!.emit('exit', 1);
  await clock.advance(100);
  assert.equal(workers.length, 22);
  assert.equal(supervisor.status().state, 'starting');
});

test('closing asks the worker, and stops it when it does not end in time', async () => {
  const polite = supervised();
  polite.workers[0]!.report({ kind: 'ready', place });
  const closed = polite.supervisor.close();
  assert.deepEqual(polite.workers[0]!.orders, [{ kind: 'close' }]);
  polite.workers[0]!.emit('exit', 0);
  await closed;
  assert.equal(polite.workers[0]!.terminated, false);

  // Something keeps its thread: nothing that matters.
  const kept = supervised();
  kept.workers[0]!.report({ kind: 'ready', place });
  const over = kept.supervisor.close();
  const left = {
    policy: 'write-back',
    directory: '/log',
    bytes: 1,
    files: 1,
    conflicts: 0,
    lostTo: undefined,
  } as const;
  kept.workers[0]!.report({ kind: 'closed', left });
  assert.deepEqual(await over, left);
  assert.equal(kept.workers[0]!.terminated, true);

  const stuck = supervised();
  stuck.workers[0]!.report({ kind: 'ready', place });
  const ended = stuck.supervisor.close();
  await stuck.clock.advance(10_000);
  await ended;
  assert.equal(stuck.workers[0]!.terminated, true);
  assert.equal(stuck.supervisor.status().state, 'ended');
});

test('a worker that is still starting is not waited for long', async () => {
  const { clock, workers, supervisor } = supervised();
  const ended = supervisor.close();
  assert.deepEqual(workers[0]!.orders, [{ kind: 'close' }]);
  await clock.advance(250);
  assert.equal(workers[0]!.terminated, false);
  await clock.advance(50);
  await ended;
  assert.equal(workers[0]!.terminated, true);
});

test('a session that is closed while it waits for a restart starts no worker', async () => {
  const { clock, workers, supervisor } = supervised();
  workers[0]!.report({ kind: 'ready', place });
  workers[0]!.emit('exit', 1);
  await supervisor.close();
  await clock.advance(60_000);
  assert.equal(workers.length, 1);
});

test('counters come from the worker; one that is stuck or dead has none, after a second at most', async () => {
  const { clock, workers, supervisor } = supervised();
  assert.equal(await supervisor.stats(), undefined);
  workers[0]!.report({ kind: 'ready', place });
  const answered = supervisor.stats();
  workers[0]!.report({ kind: 'stats', id: 1, stats: { server: { calls: 3 }, layers: {}, writeBack: undefined } });
  assert.deepEqual(await answered, { server: { calls: 3 }, layers: {}, writeBack: undefined });
  const late = supervisor.stats();
  await clock.advance(1_000);
  assert.equal(await late, undefined);
  const orphan = supervisor.stats();
  workers[0]!.emit('exit', 1);
  assert.equal(await orphan, undefined);
});

test('the worker’s log lines reach the session’s log', () => {
  const lines: string[] = [];
  const { workers } = supervised({ ...silentLog, warn: (_fields, message) => lines.push(message) });
  workers[0]!.report({ kind: 'log', level: 'warn', fields: {}, message: 'look' });
  assert.deepEqual(lines, ['look']);
});
