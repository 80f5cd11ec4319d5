/** Another configuration under sessions that run, and the same at the start. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Configuration } from '../config/mod.ts';
import { eventually } from '../testing/mod.ts';
import type { RunningManager } from './manager.ts';
import { configuration, house, type ManagerHouse, waiting, write } from './manager-fixture.test.ts';

type ConfiguredSession = Configuration['sessions'][number];

function listed(place: ManagerHouse, name: string, change: Partial<ConfiguredSession> = {}): ConfiguredSession {
  const common = {
    kind: 'proxy',
    cache: null,
    allow: [],
    squash: 'none',
    takeOver: false,
    listen: '127.0.0.1:0',
  } as const;
  return { name, origin: place.images, settings: waiting, ...common, ...change };
}

const states = (manager: RunningManager) => manager.list().map(({ name, state }) => [name, state]);

test('sessions of the configuration open with the daemon, and are the same ones after a restart', async (t) => {
  const place = house(t);
  const sessions = [listed(place, 'one'), listed(place, 'two')];
  const first = await place.open({ configuration: configuration({ sessions }) });
  await first.settled;
  assert.deepEqual(states(first), [
    ['one', 'running'],
    ['two', 'running'],
  ]);
  const before = first.list().map(({ id, place: where }) => [id, where]);
  await first.stop();
  const second = await place.open({ configuration: configuration({ sessions }) });
  await second.settled;
  assert.deepEqual(
    second.list().map(({ id, place: where }) => [id, where]),
    before,
  );
});

test('a reload opens what is new, closes what is gone if nothing waits in it, and keeps what has changes', async (t) => {
  const place = house(t);
  const both = [listed(place, 'dirty'), listed(place, 'clean')];
  const manager = await place.open({ configuration: configuration({ sessions: both }) });
  await manager.settled;
  const dirty = manager.list().find(({ name }) => name === 'dirty')!;
  await write(await place.client(dirty), 0, 'MINE!');
  await manager.reconfigure(configuration({ sessions: [listed(place, 'new')] }));
  await eventually(() => manager.list().every(({ state }) => state === 'running'), 'the new session runs');
  assert.deepEqual(states(manager), [
    ['dirty', 'running'],
    ['new', 'running'],
  ]);
});

test('settings of files hold at once, those of the session when it is opened again', async (t) => {
  const place = house(t);
  const policy = { ...waiting, pin: false };
  const manager = await place.open({ configuration: configuration({ policies: { mine: policy } }) });
  await place.writer(manager, 'vm', { policy: 'mine', settings: {} });
  const settings = async () => {
    const rows = (await manager.show('vm')).settings;
    return Object.fromEntries(rows.map(({ key, value }) => [key, value]));
  };
  const after = { ...policy, pin: true, 'dirty-limit': '128M' };
  const reloaded = await manager.reconfigure(configuration({ policies: { mine: after } }));
  assert.deepEqual(reloaded, { changed: ['vm'], pending: [{ session: 'vm', keys: ['dirty-limit'] }] });
  assert.deepEqual([(await settings()).pin, (await settings())['dirty-limit']], ['true', '64M']);
  assert.equal((await manager.reopen('vm')).state, 'running');
  assert.equal((await settings())['dirty-limit'], '128M');
  assert.deepEqual(await manager.reconfigure(configuration({ policies: { mine: after } })), {
    changed: [],
    pending: [],
  });
});

test('a policy that vanished leaves its sessions as they are, also over a restart', async (t) => {
  const place = house(t);
  const first = await place.open({ configuration: configuration({ policies: { mine: waiting } }) });
  await place.writer(first, 'vm', { policy: 'mine', settings: {} });
  assert.deepEqual(await first.reconfigure(configuration()), { changed: [], pending: [] });
  assert.deepEqual(states(first), [['vm', 'running']]);
  await first.stop();
  const second = await place.open();
  await second.settled;
  assert.deepEqual(states(second), [['vm', 'running']]);
  assert.equal((await second.show('vm')).status?.writes, 'write-back');
});
