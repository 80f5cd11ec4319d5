import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Clock, type Log, limits, seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { bytesOf, unpacked } from '../testing/mod.ts';
import { startCrew } from './crew.ts';
import { Keeper, type KeeperPlan } from './keeper.ts';
import { packImage, startKeeper, verifyImage } from './mod.ts';
import { imageOf } from './orphans.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viaduct-keeper-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Larger than the smallest file that is packed unasked. */
const content = (letter: string): Buffer => bytesOf(`${letter}bc.`.repeat(limits.contentSmallestBytes / 4096));

interface Site {
  readonly directory: string;
  readonly image: string;
  readonly keeper: Keeper;
  readonly told: string[];
  readonly slept: () => number;
  /** How far the clock is ahead of the files. */
  wait(ms: number): void;
}

function site(name: string, plan: Partial<KeeperPlan> = {}): Site {
  const directory = join(scratch, name);
  mkdirSync(join(directory, 'sub'), { recursive: true });
  const image = join(directory, 'sub/disk.raw');
  writeFileSync(image, content('a'));
  let ahead = 0;
  let slept = 0;
  const clock: Clock = {
    now: () => ahead + slept,
    wallTimeMs: () => Date.now() + ahead,
    after(delayMs, action) {
      slept += delayMs;
      setImmediate(action);
      return { cancel: () => {} };
    },
  };
  const told: string[] = [];
  const tell = (fields: object, message: string): void => void told.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { ...silentLog, info: tell, warn: tell };
  const whole: KeeperPlan = {
    directory,
    mode: 'current',
    quietMs: 60_000,
    pollMs: 1_000,
    bytesPerSecond: 1e12,
    ...plan,
  };
  const tools = { clock, random: seededRandom(3), log, crew: startCrew(0), signal: new AbortController().signal };
  const keeper = new Keeper(whole, tools);
  return { directory, image, keeper, told, slept: () => slept, wait: (ms) => void (ahead += ms) };
}

const pack = (image: string): Promise<unknown> =>
  packImage(image, {
    clock: { ...systemClock, wallTimeMs: () => Date.now() + 3_600_000 },
    random: seededRandom(1),
    crew: startCrew(0),
    signal: new AbortController().signal,
  });
const packOf = (image: string): string => image.replace('disk.raw', '.viaduct/disk.raw.pack');
const isRight = async (image: string): Promise<boolean> =>
  (await verifyImage(image, { crew: startCrew(0), signal: new AbortController().signal })).isRight;

test('what was packed once is packed again when it has been quiet, and nothing else is', async () => {
  const { directory, image, keeper, wait } = site('current');
  writeFileSync(join(directory, 'other.raw'), content('x'));
  wait(3_600_000);
  await keeper.look();
  assert.equal(existsSync(join(directory, '.viaduct')), false);
  assert.equal(existsSync(packOf(image)), false);
  await pack(image);
  await keeper.look();
  const before = statSync(packOf(image));
  writeFileSync(image, content('d'));
  await keeper.look();
  assert.equal(statSync(packOf(image)).ino !== before.ino, true, 'an hour later it has been quiet');
  assert.deepEqual(await unpacked(image), content('d'));
  assert.equal(existsSync(join(directory, '.viaduct')), false);
});

test('a file that is written to is left alone until it is quiet, and one that was packed for long is left alone for longer', async () => {
  const { image, keeper, wait, told } = site('quiet', { bytesPerSecond: 1024 * 1024 });
  await pack(image);
  writeFileSync(image, content('d'));
  wait(30_000);
  await keeper.look();
  assert.deepEqual(told, []);
  wait(40_000);
  await keeper.look();
  assert.equal(told.length, 1);
  assert.match(told[0]!, /packed an image/);
  assert.ok(await isRight(image));
  // It took seconds at that rate; so it is not packed again at once.
  writeFileSync(image, content('e'));
  utimesSync(image, 1, 1);
  await keeper.look();
  assert.equal(told.length, 1);
  wait(600_000);
  await keeper.look();
  assert.equal(told.length, 2);
  assert.ok(await isRight(image));
});

test('all files of some size are packed if that is wanted', async () => {
  const { directory, image, keeper, wait } = site('all', { mode: 'all' });
  writeFileSync(join(directory, 'sub/small'), 'x');
  wait(3_600_000);
  await keeper.look();
  assert.ok(await isRight(image));
  assert.equal(existsSync(join(directory, 'sub/.viaduct/small.meta')), false);
});

test('after chmod the pack stays, and meta-data are stamped anew', async () => {
  const { image, keeper, wait, told } = site('chmod');
  await pack(image);
  const bytes = readFileSync(packOf(image));
  const { ino } = statSync(packOf(image));
  chmodSync(image, 0o600);
  wait(3_600_000);
  await keeper.look();
  assert.match(told.join(), /adopted an image/);
  assert.deepEqual([statSync(packOf(image)).ino, readFileSync(packOf(image)).equals(bytes)], [ino, true]);
  assert.ok(await isRight(image));
});

test('what cannot be packed is told once for each version of the file', async () => {
  const { image, keeper, wait, told } = site('failing');
  await pack(image);
  const hidden = join(image, '../.viaduct');
  rmSync(hidden, { recursive: true });
  writeFileSync(hidden, 'not a folder');
  wait(3_600_000);
  await keeper.look();
  await keeper.look();
  assert.equal(told.length, 1);
  assert.match(told[0]!, /CONFIGURATION_INVALID.*not a folder/);
  utimesSync(image, 9, 9);
  await keeper.look();
  assert.equal(told.length, 2);
});

test('what lies beside an image that has been gone for a day is removed, and nothing else', async () => {
  const { directory, image, keeper, wait, told } = site('gone');
  const content = join(directory, 'sub/.viaduct');
  const there = (): string[] => readdirSync(content).sort();
  await pack(image);
  const own = ['.disk.raw.part', '.disk.raw.pack-list', '.disk.raw.meta.tmp-0123abcd', 'disk.raw.boot.ws'];
  // Another image's, nobody's, and what may be that of an image with a long name.
  const others = [
    '.new-0123456789abcdef',
    `.${'0'.repeat(32)}.part`,
    'a.ws',
    'disk.raw.BOOT.ws',
    'notes',
    'kept.raw.meta',
  ];
  for (const name of [...own, ...others]) writeFileSync(join(content, name), 'x');
  writeFileSync(join(directory, 'sub/kept.raw'), 'x');
  const all = there();
  const [day, hour] = [24 * 3_600_000, 3_600_000];
  const looks = async (count: number, why: string): Promise<void> => {
    for (let look = 0; look < count; look++) {
      wait(hour);
      await keeper.look();
      assert.deepEqual(there(), all, why);
    }
  };
  wait(10 * day);
  renameSync(image, `${image}.away`);
  await looks(23, 'it may come back');
  writeFileSync(image, 'another one');
  await keeper.look();
  rmSync(image);
  await looks(23, 'it was there in between');
  wait(7 * hour);
  await looks(24, 'it may have been there while nobody looked');
  assert.deepEqual(told, []);
  wait(hour);
  await keeper.look();
  assert.deepEqual(there(), others.sort());
  assert.match(told.join('\n'), /^removed the pack of an image that is gone \S+\/gone\/sub\/disk\.raw"}$/);
});

test('what was touched within a day stays, whatever is gone beside it', async () => {
  const { image, keeper, wait } = site('touched');
  await pack(image);
  rmSync(image);
  const looks = async (hours: number): Promise<void> => {
    for (let hour = 0; hour < hours; hour++) {
      wait(3_600_000);
      await keeper.look();
    }
  };
  const soon = (Date.now() + 24 * 3_600_000) / 1_000;
  utimesSync(packOf(image), soon, soon);
  await looks(26);
  assert.ok(existsSync(packOf(image)), 'a packer may be at work');
  await looks(24);
  assert.equal(existsSync(packOf(image)), false);
});

test('a name in .viaduct tells whose it is, or that it is nobody’s', () => {
  const known = {
    'a.meta': 'a',
    '.a.meta': '.a',
    'a.meta.meta': 'a.meta',
    'a.b.pack': 'a.b',
    'a.boot.ws': 'a',
    'a\nb.boot.ws': 'a\nb',
    '.a.part': 'a',
    '..a.part': '.a',
    '.a.pack-part': 'a',
    '.a.list.tmp-00ff00ff': 'a',
  };
  for (const [name, image] of Object.entries(known)) assert.equal(imageOf(name), image, name);
  for (const name of ['.meta', '.part', 'a.part', '.a.list.tmp-xyz', 'a', '.', '.new-00', 'a.ws', '.boot.ws'])
    assert.equal(imageOf(name), undefined, name);
});

test('in its thread it packs by itself, and ends when it is told', async () => {
  const { directory, image } = site('thread');
  const told: string[] = [];
  let keeper: ReturnType<typeof startKeeper> | undefined;
  const packed = new Promise<void>((resolve) => {
    const info = (_fields: object, message: string): void => {
      told.push(message);
      resolve();
    };
    const log: Log = { ...silentLog, info, warn: (fields) => assert.fail(JSON.stringify(fields)) };
    const plan: KeeperPlan = { directory, mode: 'all', quietMs: 0, pollMs: 100, bytesPerSecond: 1e9 };
    keeper = startKeeper(plan, { log, clock: systemClock });
  });
  // The keeper does not keep a process alive.
  const alive = setInterval(() => {}, 1_000);
  try {
    await packed;
    assert.deepEqual(told, ['packed an image']);
    assert.ok(await isRight(image));
  } finally {
    clearInterval(alive);
    await keeper?.close();
  }
});
