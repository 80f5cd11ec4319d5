/** Files that rules make read-only, by handles whose names are not known: as after a worker was started anew. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeCache, attributeCacheDefaults, closeToOpen } from '../layers/mod.ts';
import { callBy, FaultLayer, LogLines, MemoryFilesystem, ok, SimulatedClock } from '../testing/mod.ts';
import { credential, type FileRule, Status } from '../vfs/mod.ts';
import { FileGuard } from './file-guard.ts';
import { FileRules } from './file-rules.ts';

const call = callBy(credential(0, 0));
const golden: FileRule = { name: 'golden', path: '/images/**/*.img', settings: { isReadOnly: true } };

function setup(...rules: FileRule[]) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const origin = new FaultLayer(memory);
  const log = new LogLines();
  const make = (directory: string, name: string): string =>
    ok(memory.create(call, { where: { directory, name }, how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  const folder = (directory: string, name: string): string =>
    ok(memory.mkdir(call, { where: { directory, name }, set: { mode: 0o755 } })).object!;
  const images = folder(memory.root, 'images');
  const deep = folder(images, 'deep');
  /** A stack that knows nothing but the root. */
  const life = () => {
    const settings = new FileRules(memory.root, closeToOpen(attributeCacheDefaults), {
      ...{ root: '/', defaults: {}, rules: rules.length === 0 ? [golden] : rules },
    });
    const cache = new AttributeCache(origin, { clock, settings, witness: settings });
    settings.learnFrom(cache.known);
    const top = new FileGuard(cache, settings, { clock, log });
    const write = async (object: string): Promise<number> =>
      (await top.write(call, { object, offset: 0, count: 1, stable: 2, data: [Buffer.from('x')] })).status;
    return { top, cache, settings, write };
  };
  return { ...{ clock, memory, origin, log, make, images, deep, life }, ...life() };
}

test('a read-only file is not changed by a handle from before the restart, nor what is in its folder by that one’s', async () => {
  const { make, deep, images, life, top, write } = setup();
  const image = make(deep, 'a.img');
  const other = make(deep, 'b.txt');
  assert.equal(await write(image), Status.ROFS);
  assert.equal(await write(other), 0, 'its name was found: no rule is about it');
  const { setattr, link } = {
    setattr: await life().top.setattr(call, { object: image, set: { size: 0 } }),
    link: await life().top.link(call, { object: image, where: { directory: images, name: 'c' } }),
  };
  assert.equal(setattr.status, Status.ROFS);
  assert.equal(link.status, Status.ROFS);
  assert.equal((await life().top.remove(call, { directory: deep, name: 'a.img' })).status, Status.ROFS);
  const moved = { from: { directory: deep, name: 'a.img' }, to: { directory: images, name: 'c' } };
  assert.equal((await life().top.rename(call, moved)).status, Status.ROFS);
  const where = { directory: deep, name: 'new.img' };
  assert.equal((await life().top.create(call, { where, how: { mode: 'guarded', set: {} } })).status, Status.ROFS);
  ok(await top.remove(call, { directory: deep, name: 'b.txt' }));
});

test('a file that is looked for is looked for once, and so are its neighbours', async () => {
  const { make, deep, origin, write } = setup();
  const files = ['b', 'c', 'd'].map((name) => make(deep, name));
  for (const file of files) assert.equal(await write(file), 0);
  const listed = origin.calls('readdirplus');
  for (const file of files) assert.equal(await write(file), 0);
  assert.equal(origin.calls('readdirplus'), listed);
  assert.ok(listed <= 3, `${listed} listings for three folders`);
});

test('a change of a file whose name is not found is refused and told, until the file is looked up', async () => {
  const { clock, make, deep, images, memory, origin, top, write, log } = setup();
  const file = make(deep, 'b.txt');
  const unlisted = origin.on('readdirplus', () => ({ status: Status.ACCES }));
  assert.equal(await write(file), Status.ROFS);
  const asked = origin.calls('readdirplus');
  assert.equal(await write(file), Status.ROFS);
  assert.equal(origin.calls('readdirplus'), asked, 'not searched for at each change');
  assert.equal(log.warnings.length, 1);
  ok(await top.lookup(call, { directory: memory.root, name: 'images' }));
  ok(await top.lookup(call, { directory: images, name: 'deep' }));
  ok(await top.lookup(call, { directory: deep, name: 'b.txt' }));
  assert.equal(await write(file), 0);
  unlisted();
  const other = make(images, 'c.txt');
  await clock.advance(20_000);
  assert.equal(await write(other), 0);
});

test('while the origin cannot tell the name, the caller is to try again', async () => {
  const { make, deep, origin, write, log } = setup();
  const file = make(deep, 'b.txt');
  const busy = origin.on('readdirplus', () => ({ status: Status.JUKEBOX }));
  assert.equal(await write(file), Status.JUKEBOX);
  busy();
  assert.equal(await write(file), 0);
  assert.equal(log.warnings.length, 0);
  assert.equal(await write('no such handle'), Status.BADHANDLE, 'as the origin answers');
});

test('a rule that makes files of a size read-only holds before anything has shown the size', async () => {
  const large: FileRule = { name: 'large', path: '/images/**', minBytes: 3, settings: { isReadOnly: true } };
  const { make, images, memory, settings, write } = setup(large);
  const file = make(images, 'a');
  const small = make(images, 'b');
  ok(memory.write(call, { object: file, offset: 0, count: 3, stable: 2, data: [Buffer.from('abc')] }));
  settings.named(memory.root, 'images', images);
  settings.named(images, 'a', file);
  settings.named(images, 'b', small);
  assert.equal(await write(file), Status.ROFS);
  assert.equal(await write(small), 0);
});

test('names that are put back into the caches after a restart are names that rules know', () => {
  const { cache, settings, images, make, memory } = setup();
  const image = make(images, 'a.img');
  assert.equal(settings.of(image).isReadOnly, false);
  cache.known.putName(images, 'a.img', image);
  cache.known.putName(memory.root, 'images', images);
  assert.equal(settings.of(image).isReadOnly, true);
});

test('no name makes a file read-only: by rename and link neither, of a size that a rule is about', async () => {
  const large: FileRule = { name: 'large', path: '/images/**', minBytes: 3, settings: { isReadOnly: true } };
  const { make, memory, images, deep, top, life } = setup(large, golden);
  const place = (directory: string, name: string) => ({ directory, name });
  const small = make(memory.root, 'small');
  const big = make(memory.root, 'big');
  ok(memory.write(call, { object: big, offset: 0, count: 3, stable: 2, data: [Buffer.from('abc')] }));
  const link = async (object: string, where: ReturnType<typeof place>) =>
    (await top.link(call, { object, where })).status;
  const rename = async (name: string, to: ReturnType<typeof place>) =>
    (await top.rename(call, { from: place(memory.root, name), to })).status;
  assert.equal(await link(big, place(images, 'big')), Status.ROFS);
  assert.equal(await rename('big', place(deep, 'big')), Status.ROFS);
  assert.equal(await link(small, place(images, 'a.img')), Status.ROFS);
  assert.equal(await rename('small', place(deep, 'a.img')), Status.ROFS);
  const next = life();
  next.settings.named(memory.root, 'big', big);
  assert.equal((await next.top.link(call, { object: big, where: place(images, 'big') })).status, Status.ROFS);
  assert.equal(await rename('small', place(deep, 'small')), 0);
  assert.equal(await rename('big', place(memory.root, 'huge')), 0);
});
