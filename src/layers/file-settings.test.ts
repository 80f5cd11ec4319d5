/** Settings by file in the caches of attributes, names and grants. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { callBy, FaultLayer, MemoryFilesystem, ok, SimulatedClock } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { AccessCache } from './access-cache.ts';
import { AttributeCache } from './attribute-cache.ts';
import { attributeCacheDefaults, closeToOpen } from './attribute-cache-options.ts';

const root = callBy(vfs.credential(0, 0));
const hourMs = 3600_000;

/** Settings that a test may change. */
class Settings implements vfs.FileSettingsProvider {
  generation = 0;
  #now = closeToOpen(attributeCacheDefaults);

  of(): vfs.FileSettings {
    return this.#now;
  }

  change(change: vfs.FileChanges): void {
    this.#now = { ...this.#now, ...(change as Partial<vfs.FileSettings>) };
    this.generation++;
  }
}

async function setup(change: vfs.FileChanges = {}) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const origin = new FaultLayer(memory);
  const settings = new Settings();
  settings.change(change);
  const attributes = new AttributeCache(origin, { clock, settings });
  const cache = new AccessCache(attributes, { clock, settings });
  const place = { directory: memory.root, name: 'a' };
  const object = ok(memory.create(root, { where: place, how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  const calls = () => (['getattr', 'lookup', 'access'] as const).reduce((sum, of) => sum + origin.calls(of), 0);
  return {
    ...{ clock, memory, origin, settings, cache, object },
    look: async () => ok(await cache.lookup(root, place)).object,
    size: async () => ok(await cache.getattr(root, { object })).attributes.size,
    grant: async () => ok(await cache.access(root, { object, access: vfs.Access.READ })).access,
    foreignWrite: (text: string): void => {
      const data = Buffer.from(text);
      ok(memory.write(root, { object, offset: 0, count: data.length, stable: 2, data: [data] }));
    },
    asked: async (action: () => Promise<unknown>): Promise<number> => {
      const before = calls();
      await action();
      return calls() - before;
    },
  };
}

test('attributes, name and grants of a fixed file are believed for a day', async () => {
  const { clock, look, size, grant, asked } = await setup({ consistency: 'fixed' });
  const use = async (): Promise<void> => {
    await look();
    await size();
    await grant();
  };
  await use();
  await clock.advance(15 * hourMs);
  assert.equal(await asked(use), 0);
  await clock.advance(10 * hourMs);
  assert.ok((await asked(use)) >= 2);
});

test('a fixed file that was seen to change is asked about when it is opened anew, until it stays as it is', async () => {
  const { cache, object, look, size, asked, foreignWrite } = await setup({ consistency: 'fixed' });
  await look();
  foreignWrite('changed');
  assert.equal(await size(), 0, 'nothing was told yet');
  ok(await cache.read(root, { object, offset: 0, count: 10 }));
  assert.equal(await asked(size), 0);
  assert.equal(await size(), 7, 'a reply told it');
  assert.equal(await asked(look), 1);
  assert.equal(await asked(look), 0);
});

test('a fixed file that gets other settings as it is renamed is believed as long as those say', async () => {
  const { cache, clock, object, origin, settings, look, size, foreignWrite } = await setup({ consistency: 'fixed' });
  await look();
  await size();
  const from = { directory: origin.root, name: 'a' };
  ok(await cache.rename(root, { from, to: { ...from, name: 'b' } }));
  settings.change({ consistency: 'close-to-open' });
  assert.equal(await size(), 0);
  foreignWrite('changed');
  await clock.advance(attributeCacheDefaults.fileMaximumMs);
  assert.equal(await size(), 7);
  // Likewise when the rules change while nothing is known of it.
  settings.change({ consistency: 'fixed' });
  await size();
  origin.on('write', () => ({ status: 0, wcc: {}, count: 1, committed: 2, verifier: '\0'.repeat(8) }));
  ok(await cache.write(root, { object, offset: 0, count: 1, stable: 2, data: [Buffer.from('x')] }));
  settings.change({ consistency: 'strict' });
  await size();
  foreignWrite('once more');
  assert.equal(await size(), 9);
});

test('a directory that is fixed keeps its own time-outs: what is added to it is seen', async () => {
  const { cache, clock, memory, asked } = await setup({ consistency: 'fixed' });
  const seen = async () => ok(await cache.getattr(root, { object: memory.root })).attributes.mtime;
  const grant = async () => ok(await cache.access(root, { object: memory.root, access: vfs.Access.READ })).access;
  const place = { directory: memory.root, name: 'new.img' };
  const before = await seen();
  await grant();
  assert.equal((await cache.lookup(root, place)).status, vfs.Status.NOENT);
  assert.equal(await asked(seen), 0);
  await clock.advance(1000);
  ok(memory.create(root, { where: place, how: { mode: 'guarded', set: {} } }));
  await clock.advance(attributeCacheDefaults.directoryMaximumMs);
  assert.notDeepEqual(await seen(), before);
  ok(await cache.lookup(root, place));
  await clock.advance(hourMs);
  assert.equal(await asked(grant), 1);
});

test('each GETATTR of a strict file is a call of its own, and none is answered by one that was sent before it', async () => {
  const { cache, object, origin, foreignWrite } = await setup({ consistency: 'strict' });
  const hold = origin.hold('getattr', 'after');
  const first = cache.getattr(root, { object });
  await Promise.resolve();
  foreignWrite('changed');
  const second = cache.getattr(root, { object });
  await new Promise(setImmediate);
  assert.equal(origin.calls('getattr'), 2);
  hold.release();
  await first;
  assert.equal(ok(await second).attributes.size, 7);
  assert.equal(ok(await cache.getattr(root, { object })).attributes.size, 7);
  assert.equal(origin.calls('getattr'), 3);
});

test('time-outs that change hold for what was learned before', async () => {
  const { clock, settings, size, asked } = await setup({ attributes: { minimumMs: 60_000, maximumMs: 60_000 } });
  await size();
  await clock.advance(10_000);
  assert.equal(await asked(size), 0);
  settings.change({ attributes: { minimumMs: 1_000, maximumMs: 5_000 } });
  assert.equal(await asked(size), 1);
  settings.change({ attributes: { minimumMs: hourMs, maximumMs: hourMs } });
  await clock.advance(hourMs / 2);
  assert.equal(await asked(size), 0);
  settings.change({ consistency: 'strict' });
  assert.equal(await asked(size), 1);
});
