/** Sessions of a daemon: made, listed, used, closed, and there again after a restart. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ViaductError } from '../../base/mod.ts';
import { LogIndex } from '../../control/mod.ts';
import type { DaemonEvent } from '../contract.ts';
import { house, read, waiting, write } from './fixture.test.ts';

function code(expected: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ViaductError, String(error));
    assert.equal(error.code, expected, error.message);
    return true;
  };
}

test('a session is created, serves, is listed, and is closed without a trace', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const events: DaemonEvent[] = [];
  manager.subscribe((event) => events.push(event));
  const view = await manager.create({ origin: place.images, listen: '127.0.0.1:0' });
  assert.match(view.id, /^s-[a-z2-7]{8}$/);
  assert.deepEqual([view.name, view.state, view.policy, view.kind], ['images', 'running', 'home', 'proxy']);
  assert.deepEqual(manager.list(), [view]);
  const client = await place.client(view);
  assert.equal(await read(client, 0, 5), 'image');
  const detail = await manager.show('images');
  assert.equal(detail.status?.state, 'running');
  assert.ok(detail.settings.some(({ key, value }) => key === 'writes' && value === 'write-through'));
  assert.deepEqual(await manager.close(view.id), { id: view.id, name: 'images' });
  assert.deepEqual(manager.list(), []);
  assert.deepEqual(place.directories(), []);
  assert.deepEqual(
    events.filter(({ kind }) => kind !== 'session-state').map(({ kind }) => kind),
    ['session-created', 'session-closed'],
  );
  assert.deepEqual(
    events.map(({ number }) => number - events[0]!.number),
    events.map((_, index) => index),
  );
  await assert.rejects(manager.show(view.id), code('SESSION_NOT_FOUND'));
});

test('after a restart a session is where it was, with its handles and its changes', async (t) => {
  const place = house(t);
  const first = await place.open();
  const view = await place.writer(first, 'vm');
  await write(await place.client(view), 0, 'OTHER');
  await first.stop();
  const second = await place.open();
  await second.settled;
  const [again] = second.list();
  assert.deepEqual([again?.id, again?.name, again?.state, again?.place], [view.id, 'vm', 'running', view.place]);
  assert.equal(await read(await place.client(again!), 0, 5), 'OTHER');
  assert.equal(readFileSync(join(place.images, 'disk.raw'), 'latin1').slice(0, 5), 'image');
  const status = (await second.show('vm')).status?.data?.writeBack;
  assert.equal(status?.pendingFiles, 1);
});

test('closing writes back first; kept changes are noted with their log', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const brought = await place.writer(manager, 'brought');
  await write(await place.client(brought), 0, 'MINE!');
  const progress: string[] = [];
  await manager.close('brought', { onProgress: ({ state }) => progress.push(state) });
  assert.ok(progress.length > 0);
  assert.equal(readFileSync(join(place.images, 'disk.raw'), 'latin1').slice(0, 5), 'MINE!');
  const kept = await place.writer(manager, 'kept');
  await write(await place.client(kept), 0, 'LATER');
  const { left } = await manager.close('kept', { changes: 'keep' });
  assert.equal(left?.files, 1);
  assert.deepEqual(place.directories(), [kept.id]);
  const [note] = new LogIndex(place.state).read().notes;
  assert.equal(note?.directory, join(place.state, 'sessions', kept.id, 'dirty'));
  assert.match(
    note?.restart ?? '',
    /^viaduct proxy .*--alone .*--cache \S+ --cache-size \S+ --policy write-back --dirty-log /,
  );
  await manager.stop();
  const next = await place.open();
  await next.settled;
  assert.ok(existsSync(note!.directory));
  // Another session would serve what the origin has.
  await assert.rejects(place.writer(next, 'kept'), code('SESSION_EXISTS'));
  await assert.rejects(place.writer(next, 'other'), code('LOG_NOT_EMPTY'));
  assert.deepEqual(
    next.list().map(({ id, state }) => [id, state]),
    [[kept.id, 'closed']],
  );
  const again = await next.reopen('kept');
  assert.deepEqual([again.state, again.place], ['running', kept.place]);
  assert.equal(await read(await place.client(again), 0, 5), 'LATER');
  await next.close('kept');
  assert.equal(readFileSync(join(place.images, 'disk.raw'), 'latin1').slice(0, 5), 'LATER');
  assert.deepEqual([next.list(), place.directories()], [[], []]);
});

test('a session whose changes are in conflict stays open, and says so', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const view = await place.writer(manager, 'vm', { kind: 'proxy' });
  const client = await place.client(view);
  await write(client, 0, 'MINE!');
  const { writeFileSync } = await import('node:fs');
  writeFileSync(join(place.images, 'disk.raw'), 'somebody else’s');
  await assert.rejects(manager.close('vm'), code('CONFLICT'));
  assert.equal(manager.list()[0]?.state, 'running');
  assert.equal((await manager.close('vm', { changes: 'keep' })).left?.conflicts, 1);
});

test('a redirected session is discarded by its policy, or committed when that is asked for', async (t) => {
  const place = house(t);
  const manager = await place.open();
  for (const [changes, expected] of [
    [undefined, 'image'],
    ['write-back', 'MINE!'],
  ] as const) {
    const view = await place.writer(manager, 'clone', { policy: 'scratch', settings: { 'dirty-limit': '64M' } });
    await write(await place.client(view), 0, 'MINE!');
    await manager.close('clone', { changes });
    assert.equal(readFileSync(join(place.images, 'disk.raw'), 'latin1').slice(0, 5), expected);
    assert.deepEqual(place.directories(), []);
  }
  await place.writer(manager, 'vm');
  await assert.rejects(manager.close('vm', { changes: 'discard' }), code('CONFIGURATION_INVALID'));
});

test('what cannot be created leaves nothing behind', async (t) => {
  const place = house(t);
  const manager = await place.open();
  const { name, place: taken } = await place.writer(manager, 'vm');
  const listen = `${taken?.host}:${taken?.port}`;
  for (const [expected, request] of [
    ['SESSION_EXISTS', { name }],
    ['CONFIGURATION_INVALID', { name: 'a name' }],
    ['ADDRESS_IN_USE', { listen }],
    ['ADDRESS_INVALID', { listen: '192.0.2.1:0' }],
    ['CONFIGURATION_INVALID', { policy: 'none' }],
    ['CONFIGURATION_INVALID', { settings: { writes: 'sometimes' } }],
    ['CONFIGURATION_INVALID', { cache: 'none' }],
    ['ORIGIN_INVALID', { origin: 'nowhere:/golden' }],
    ['ORIGIN_UNREACHABLE', { origin: 'nfs://127.0.0.1:1/x?mountport=1' }],
  ] as const)
    await assert.rejects(
      manager.create({ origin: place.images, listen: '127.0.0.1:0', settings: waiting, ...request }),
      code(expected),
    );
  assert.equal(manager.list().length, 1);
  assert.equal(place.directories().length, 1);
});

test('a temporary session ends with the daemon', async (t) => {
  const place = house(t);
  const first = await place.open();
  await place.writer(first, 'command', { isTemporary: true });
  await first.stop();
  const second = await place.open();
  assert.deepEqual([second.list(), place.directories()], [[], []]);
});

test('one daemon for a state directory', async (t) => {
  const place = house(t);
  const first = await place.open();
  await assert.rejects(
    place.open(),
    (error) => code('DAEMON_RUNNING')(error) && String(error).includes(String(process.pid)),
  );
  await first.stop();
  await (await place.open()).stop();
});
