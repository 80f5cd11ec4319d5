/** Another configuration under sessions that run, and the same at the start. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Configuration } from '../../config/mod.ts';
import { eventually } from '../../testing/mod.ts';
import { configuration, house, type ManagerHouse, read, waiting, write } from './fixture.test.ts';
import type { RunningManager } from './manager.ts';

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

test('who says where to listen gets it, whatever comes first in the file; the others are given other addresses', async (t) => {
  const place = house(t);
  const sessions = [
    { ...listed(place, 'any'), listen: undefined },
    listed(place, 'fixed', { listen: '127.77.9.1:20491' }),
    { ...listed(place, 'more'), listen: undefined },
  ];
  const file = configuration({ sessions });
  const daemon = { ...file.daemon, listenPool: '127.77.9.0/24', reservedAddresses: ['127.77.9.1', '127.77.9.2'] };
  const manager = await place.open({ configuration: { ...file, daemon } });
  await manager.settled;
  const hosts = Object.fromEntries(manager.list().map(({ name, place: where }) => [name, where?.host]));
  assert.deepEqual(hosts, { fixed: '127.77.9.1', any: '127.77.9.3', more: '127.77.9.4' });
});

test('after a restart a session listens where the configuration says by then; two may change places', async (t) => {
  const place = house(t);
  const [one, other] = ['127.77.8.1:20491', '127.77.8.2:20491'];
  const at = (first: string, second: string) =>
    configuration({ sessions: [listed(place, 'a', { listen: first }), listed(place, 'b', { listen: second })] });
  const places = (manager: RunningManager) =>
    manager.list().map(({ name, place: where }) => [name, `${where?.host}:${where?.port}`]);
  const first = await place.open({ configuration: at(one, other) });
  await first.settled;
  const [before] = first.list();
  await write(await place.client(before!), 0, 'MINE!');
  await first.stop();
  const second = await place.open({ configuration: at(other, one) });
  await second.settled;
  assert.deepEqual(places(second), [
    ['a', other],
    ['b', one],
  ]);
  const [after] = second.list();
  assert.equal(await read(await place.client(after!), 0, 5), 'MINE!');
});

test('what a reload says of a session that is being opened again holds when that is done', async (t) => {
  const place = house(t);
  const policy = { ...waiting, pin: false };
  const manager = await place.open({ configuration: configuration({ policies: { mine: policy } }) });
  await place.writer(manager, 'vm', { policy: 'mine', settings: {} });
  const reopened = manager.reopen('vm');
  const after = configuration({ policies: { mine: { ...policy, pin: true } } });
  assert.deepEqual(await manager.reconfigure(after), { changed: [], pending: [] });
  await reopened;
  const pin = async () => (await manager.show('vm')).settings.find(({ key }) => key === 'pin')?.value;
  await eventually(async () => (await pin()) === 'true', 'the session has its new setting');
  assert.equal(states(manager)[0]?.[1], 'running');
});

test('a session that left the configuration while somebody was busy with it is closed then', async (t) => {
  const place = house(t);
  const manager = await place.open({ configuration: configuration({ sessions: [listed(place, 'vm')] }) });
  await manager.settled;
  const reopened = manager.reopen('vm');
  await manager.reconfigure(configuration());
  await reopened;
  await eventually(() => manager.list().length === 0, 'the session is closed');
});

test('another quota of a cache holds at once, and another kind of session when it is opened again', async (t) => {
  const place = house(t);
  const caches = [{ name: 'main', directory: join(place.scratch, 'cache'), sizeBytes: 64 * 1024 * 1024 }];
  const by = (policy: object) => configuration({ caches, policies: { mine: { ...waiting, ...policy } } });
  const manager = await place.open({ configuration: by({ 'cache-quota': '16M' }) });
  await place.writer(manager, 'vm', { policy: 'mine', settings: {} });
  const quota = async () => (await manager.show('vm')).status?.cache?.own.quotaBytes;
  assert.equal(await quota(), 16 * 1024 * 1024);
  const reloaded = await manager.reconfigure(by({ 'cache-quota': '32M' }));
  assert.deepEqual(reloaded, { changed: ['vm'], pending: [] });
  assert.equal(await quota(), 32 * 1024 * 1024);
  assert.deepEqual((await manager.reconfigure(by({}))).pending, []);
  assert.equal(await quota(), undefined);
  const of = (kind: 'serve' | 'proxy') =>
    configuration({ caches, sessions: [listed(place, 'k', { kind, settings: { writes: 'write-through' } })] });
  await manager.reconfigure(of('proxy'));
  await eventually(() => states(manager).length === 2 && states(manager)[1]?.[1] === 'running', 'the session runs');
  const { pending } = await manager.reconfigure(of('serve'));
  assert.deepEqual(pending.find(({ session }) => session === 'k')?.keys, ['kind']);
});

test('a session of the configuration must not be called like an id', async (t) => {
  const place = house(t);
  const manager = await place.open({ configuration: configuration({ sessions: [listed(place, 's-abcdefgh')] }) });
  await manager.settled;
  assert.deepEqual(manager.list(), []);
});

test('a configuration whose addresses are refused changes nothing', async (t) => {
  const place = house(t);
  const manager = await place.open({ configuration: configuration({ sessions: [listed(place, 'vm')] }) });
  await manager.settled;
  const file = configuration();
  const bad = { ...file, daemon: { ...file.daemon, listenPool: 'nowhere' } };
  await assert.rejects(manager.reconfigure(bad), { code: 'ADDRESS_INVALID' });
  assert.deepEqual(states(manager), [['vm', 'running']]);
  await assert.rejects(manager.create({ origin: place.images, policy: 'none' }), { code: 'CONFIGURATION_INVALID' });
  assert.equal((await manager.reopen('vm')).state, 'running');
});

test('a session is not added beside changes that a closed one of its origin keeps', async (t) => {
  const place = house(t);
  const manager = await place.open();
  await write(await place.client(await place.writer(manager, 'kept')), 0, 'MINE!');
  await manager.close('kept', { changes: 'keep' });
  await manager.reconfigure(configuration({ sessions: [listed(place, 'new')] }));
  assert.deepEqual(states(manager), [['kept', 'closed']]);
});
