/** Names for people: from a place up to the root, from a path down to a file, also when the origin does not answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callBy, FaultLayer, MemoryFilesystem, ok, SimulatedClock, settle } from '../testing/mod.ts';
import { credential, FileType, type Place, Status } from '../vfs/mod.ts';
import { Paths } from './paths.ts';

const root = callBy(credential(0, 0));

function house() {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const origin = new FaultLayer(memory);
  const paths = new Paths(origin, root.credential, clock);
  const make = (directory: string, name: string): string =>
    ok(memory.mkdir(root, { where: { directory, name }, set: { mode: 0o755 } })).object!;
  return { clock, memory, origin, paths, make };
}

async function told(paths: Paths, place: Place): Promise<string | undefined> {
  paths.pathOf(place);
  await paths.settled();
  return paths.pathOf(place);
}

test('a file in the root has its path at once, one deep below after its directories were asked for', async () => {
  const { memory, origin, paths, make } = house();
  assert.equal(paths.pathOf({ directory: memory.root, name: 'a' }), '/a');
  assert.equal(paths.pathOf(undefined), undefined);
  const deep = make(make(make(memory.root, 'images'), 'golden'), 'vm');
  const place = { directory: deep, name: 'disk.raw' };
  assert.equal(paths.pathOf(place), undefined);
  assert.equal(await told(paths, place), '/images/golden/vm/disk.raw');
  const calls = origin.calls('lookup');
  assert.equal(await told(paths, { directory: deep, name: 'other' }), '/images/golden/vm/other');
  assert.equal(origin.calls('lookup'), calls, 'remembered');
});

test('a directory that was renamed is found under its new name after a minute', async () => {
  const { clock, memory, paths, make } = house();
  const directory = make(memory.root, 'old');
  assert.equal(await told(paths, { directory, name: 'a' }), '/old/a');
  ok(
    memory.rename(root, {
      from: { directory: memory.root, name: 'old' },
      to: { directory: memory.root, name: 'new' },
    }),
  );
  await clock.advance(61_000);
  assert.equal(await told(paths, { directory, name: 'a' }), '/new/a');
});

test('names that are UTF-8 are shown as text, others byte by byte; what cannot be asked stays unknown', async () => {
  const { memory, origin, paths, make } = house();
  const name = Buffer.from('größe').toString('latin1');
  assert.equal(paths.pathOf({ directory: memory.root, name }), '/größe');
  assert.equal(paths.pathOf({ directory: memory.root, name: '\xff' }), '/\xff');
  const directory = make(memory.root, 'd');
  origin.on('lookup', () => ({ status: 13 }));
  assert.equal(await told(paths, { directory, name: 'a' }), undefined);
});

test('while the origin is away nobody waits, and the name is there when it is back', async () => {
  const { memory, origin, paths, make } = house();
  const place = { directory: make(memory.root, 'd'), name: 'a' };
  const held = origin.hold('lookup');
  assert.equal(paths.pathOf(place), undefined);
  assert.equal(paths.pathOf(place), undefined, 'and it is asked for once');
  await settle();
  assert.equal(origin.calls('lookup'), 1);
  held.release();
  await paths.settled();
  assert.equal(paths.pathOf(place), '/d/a');
});

test('a path is found from the root, whatever slashes it has', async () => {
  const { memory, paths, make } = house();
  for (const path of ['/', '', '//./']) assert.equal((await paths.find(path))?.handle, memory.root);
  const made = make(make(memory.root, 'a'), Buffer.from('ü').toString('latin1'));
  assert.deepEqual(await paths.find('a//ü/'), { handle: made, type: FileType.DIRECTORY });
  assert.equal(await paths.find('/a/nothing/x'), undefined);
});

test('a look-up that fails says so, and is not taken for a file that is not there', async () => {
  const { origin, paths } = house();
  for (const status of [Status.IO, Status.JUKEBOX, Status.SERVERFAULT]) {
    const restore = origin.on('lookup', () => ({ status }));
    await assert.rejects(paths.find('/a'), { code: 'ORIGIN_UNREACHABLE', message: /\/a could not be looked up/ });
    restore();
  }
});
