/** Logs that sessions left: whose they are, what becomes of them, and who may go on with them. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../../base/mod.ts';
import { LogIndex } from '../../control/mod.ts';
import { type RunningSession, startSession } from '../../sessions/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { configuration, house, type ManagerHouse, waiting, write } from './fixture.test.ts';
import { holdsChanges } from './logs.ts';
import { planFor } from './opening.ts';
import { managerConfiguration } from './opening-decision.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };

/** What the remedy of a closed session says: a proxy by itself, on the log that the session left. */
async function alone(t: TestContext, { images, state }: ManagerHouse, id: string): Promise<RunningSession> {
  const request = { origin: images, settings: waiting };
  const place = { id, listen: { host: '127.0.0.1', port: 0 }, stateDirectory: state };
  const { plan } = planFor(request, managerConfiguration(configuration()), place);
  const session = await startSession(plan, tools);
  t.after(() => session.close());
  await session.ready;
  return session;
}

test('a daemon that starts leaves a log alone that another process has open, though all in it is written back', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const view = await place.writer(manager, 'vm');
  await write(await place.client(view), 0, 'MINE!');
  await manager.close('vm', { changes: 'keep' });
  await manager.stop();
  const proxy = await alone(t, place, view.id);
  assert.equal((await proxy.run({ task: 'write-back' })).outcome, 'done');
  const next = await place.open();
  await next.settled;
  const directory = join(place.state, 'sessions', view.id, 'dirty');
  assert.ok(existsSync(join(directory, 'lock')), 'the log of a running proxy is gone');
  await write(await place.client({ ...view, place: await proxy.ready }), 0, 'AGAIN');
  await next.stop();
  assert.equal((await proxy.close())?.files, 1);
  assert.ok(await holdsChanges(directory, tools));
});

test('a session that is closed while another process has its log keeps its directory', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const view = await place.writer(manager, 'vm');
  await write(await place.client(view), 0, 'MINE!');
  await manager.close('vm', { changes: 'keep' });
  const proxy = await alone(t, place, view.id);
  await proxy.run({ task: 'write-back' });
  await manager.stop();
  // What a daemon that was killed amid the end of that session leaves behind.
  const { DatabaseSync } = await import('node:sqlite');
  const store = new DatabaseSync(join(place.state, 'daemon.sqlite'));
  const { plan } = planFor({ origin: place.images, settings: waiting }, managerConfiguration(configuration()), {
    ...{ id: view.id, listen: { host: '127.0.0.1', port: 1 }, stateDirectory: place.state },
  });
  store
    .prepare(`UPDATE sessions SET state = 'closing', step = 'keep', plan = ? WHERE id = ?`)
    .run(JSON.stringify(plan), view.id);
  store.close();
  const next = await place.open();
  await next.settled;
  assert.deepEqual([next.list().map(({ state }) => state), place.directories()], [['closed'], [view.id]]);
});

test('a log that nobody has open and that holds nothing goes with the next start', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const view = await place.writer(manager, 'vm');
  await write(await place.client(view), 0, 'MINE!');
  await manager.close('vm', { changes: 'keep' });
  await manager.stop();
  const proxy = await alone(t, place, view.id);
  await proxy.run({ task: 'write-back' });
  await proxy.close();
  new LogIndex(place.state).remove({ directory: join(place.state, 'sessions', view.id, 'dirty') });
  // Of a removal that was cut off.
  mkdirSync(join(place.state, 'sessions', 'removed-s-aaaaaaaa', 'dirty'), { recursive: true });
  const next = await place.open();
  await next.settled;
  assert.deepEqual([next.list(), place.directories()], [[], []]);
  assert.equal(readFileSync(join(place.images, 'disk.raw'), 'latin1').slice(0, 5), 'MINE!');
});

test('a temporary session whose policy discards leaves nothing at the end of the daemon', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const settings = { 'dirty-limit': '64M' };
  const view = await place.writer(manager, 'command', { isTemporary: true, policy: 'scratch', settings });
  await write(await place.client(view), 0, 'MINE!');
  await manager.stop();
  assert.deepEqual([place.directories(), new LogIndex(place.state).read().notes], [[], []]);
  assert.equal(readFileSync(join(place.images, 'disk.raw'), 'latin1').slice(0, 5), 'image');
});

test('who looks into a log lets others have the thread, and gives up when it takes too long', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const view = await place.writer(manager, 'vm');
  await manager.stop();
  const directory = join(place.state, 'sessions', view.id, 'dirty');
  assert.equal(await holdsChanges(directory, tools), false);
  assert.equal(await holdsChanges(directory, { ...tools, isOver: () => true }), true);
  // Each look at this clock is a second later than the last.
  const simulated = new SimulatedClock();
  let nowMs = 0;
  let turns = 0;
  const slow = {
    ...simulated,
    now: () => (nowMs += 1_000),
    wallTimeMs: () => 0,
    after: simulated.after.bind(simulated),
  };
  const counting = (): void => {
    turns++;
    if (turns < 1_000) setImmediate(counting);
  };
  setImmediate(counting);
  assert.equal(await holdsChanges(directory, { clock: slow }), true);
  assert.ok(turns > 1, 'nobody else had the thread');
  turns = 1_000;
});
