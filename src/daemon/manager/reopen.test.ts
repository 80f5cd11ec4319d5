/** Sessions that are opened again by other plans, and what becomes of those that cannot be. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { eventually } from '../../testing/mod.ts';
import { configuration, house, type ManagerHouse, read, waiting, write } from './fixture.test.ts';
import type { RunningManager } from './manager.ts';

/** The workers' program, whose sessions fail when they are told to. */
const faulty = fileURLToPath(new URL('../../sessions/worker-pool.test.ts', import.meta.url));
const through = { writes: 'write-through' } as const;
const holding = configuration({ policies: { mine: waiting } });
const passing = configuration({ policies: { mine: through } });

const stateOf = (manager: RunningManager) => manager.list()[0]?.state;
const runs = (manager: RunningManager) => eventually(() => stateOf(manager) === 'running', 'the session runs');
const atOrigin = ({ images }: ManagerHouse) => readFileSync(join(images, 'disk.raw'), 'latin1').slice(0, 5);

test('a session whose new policy is refused for its changes goes on by the earlier one, and its close brings them', async (t) => {
  const place = house(t);
  const manager = await place.open({ configuration: holding });
  const view = await place.writer(manager, 'vm', { policy: 'mine', settings: {} });
  await write(await place.client(view), 0, 'MINE!');
  const { pending } = await manager.reconfigure(passing);
  assert.ok(pending[0]?.keys.includes('writes'));
  await assert.rejects(manager.reopen('vm'), { code: 'LOG_NOT_EMPTY' });
  await runs(manager);
  assert.equal(await read(await place.client(view), 0, 5), 'MINE!');
  await manager.close('vm', { changes: 'write-back' });
  assert.equal(atOrigin(place), 'MINE!');
  assert.deepEqual(place.directories(), []);
});

test('a failed session with changes that its new policy refuses says so when it is to be closed', async (t) => {
  const place = house(t);
  const workers: Worker[] = [];
  const program = { program: faulty, onWorker: (worker: Worker) => void workers.push(worker) };
  const manager = await place.open({ configuration: holding, ...program });
  await write(await place.client(await place.writer(manager, 'vm', { policy: 'mine', settings: {} })), 0, 'MINE!');
  workers[0]!.postMessage({ kind: 'fault', session: 1, how: 'timer' });
  await eventually(() => stateOf(manager) === 'failed', 'the session is failed');
  await manager.reconfigure(passing);
  await assert.rejects(manager.reopen('vm'), { code: 'LOG_NOT_EMPTY' });
  await assert.rejects(manager.close('vm', { changes: 'write-back' }), {
    code: 'LOG_NOT_EMPTY',
    message: /it is failed/,
  });
  await manager.reconfigure(holding);
  assert.equal((await manager.reopen('vm')).state, 'running');
  await manager.close('vm', { changes: 'write-back' });
  assert.equal(atOrigin(place), 'MINE!');
});

test('a session whose policy begins to keep changes opens with a new log, told to or after a restart', async (t) => {
  for (const isRestarted of [false, true]) {
    const place = house(t);
    let manager = await place.open({ configuration: passing });
    const view = await place.writer(manager, 'vm', { policy: 'mine', settings: {} });
    if (isRestarted) {
      await manager.stop();
      manager = await place.open({ configuration: holding });
      await manager.settled;
    } else {
      await manager.reconfigure(holding);
      await manager.reopen('vm');
    }
    assert.equal(stateOf(manager), 'running');
    await write(await place.client(view), 0, 'MINE!');
    assert.equal((await manager.show('vm')).status?.data?.writeBack?.pendingFiles, 1);
    assert.equal(atOrigin(place), 'image');
    // From now on its log must be there.
    await manager.stop();
    const { renameSync } = await import('node:fs');
    const directory = join(place.state, 'sessions', view.id, 'dirty');
    renameSync(directory, `${directory}-away`);
    const next = await place.open({ configuration: holding });
    await next.settled;
    assert.equal(next.list()[0]?.lastError?.code, 'LOG_MISSING');
    renameSync(`${directory}-away`, directory);
    await runs(next);
  }
});

test('a daemon that ends while a session is opened again opens it with its next start', async (t) => {
  const place = house(t);
  const first = await place.open();
  const view = await place.writer(first, 'vm');
  await write(await place.client(view), 0, 'MINE!');
  const reopened = first.reopen('vm');
  reopened.catch(() => {});
  await first.stop();
  await assert.rejects(reopened);
  const second = await place.open();
  await second.settled;
  assert.deepEqual([stateOf(second), second.list()[0]?.place], ['running', view.place]);
  assert.equal(await read(await place.client(view), 0, 5), 'MINE!');
});

test('a session that cannot move to its new address stays at the old one, which nobody else gets meanwhile', async (t) => {
  const place = house(t);
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await new Promise((resolve) => taken.once('listening', resolve));
  const address = taken.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const session = { kind: 'proxy', cache: null, allow: [], squash: 'none', takeOver: false } as const;
  const at = (listen: string) =>
    configuration({ sessions: [{ ...session, name: 'vm', origin: place.images, settings: waiting, listen }] });
  const manager = await place.open({ configuration: at('127.0.0.1:0') });
  await manager.settled;
  const [view] = manager.list();
  const there = `${view?.place?.host}:${view?.place?.port}`;
  const { pending } = await manager.reconfigure(at(`127.0.0.1:${port}`));
  assert.deepEqual(pending, [{ session: 'vm', keys: ['listen'] }]);
  await assert.rejects(manager.reopen('vm'), { code: 'ADDRESS_IN_USE' });
  await assert.rejects(place.writer(manager, 'other', { listen: there }), { code: 'ADDRESS_IN_USE' });
  await runs(manager);
  assert.deepEqual(manager.list()[0]?.place, view?.place);
  assert.equal(await read(await place.client(view!), 0, 5), 'image');
});
