import assert from 'node:assert/strict';
import {
  appendFileSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { encodeWorkingSet, packHeaderBytes } from '../content/mod.ts';
import { flockExclusive } from '../native/mod.ts';
import { headOf, unpacked } from '../testing/mod.ts';
import type { Crew } from './crew.ts';
import { adoptImage, packImage, verifyImage } from './mod.ts';
import type { PackOptions, PackReport } from './pack.ts';
import { code, dying, folder, options } from './pack-fixture.test.ts';

const notRoot = process.getuid?.() === 0 ? false : 'only root gives files away';
const sector = 4096;
const MiB = 1024 * 1024;
/** Tasks of the second pass: 8 groups of 32 sectors each. */
const tasks = 6;
const kept = ['.disk.raw.pack-list', '.disk.raw.pack-part', '.disk.raw.part'];
const ready = ['disk.raw.meta', 'disk.raw.pack'];

/** Half of it is zeros within the sectors, so that it can be compressed; all sectors differ. */
const content = Buffer.alloc(tasks * MiB - 300_000);
/** Nobody interrupted its packer. */
let whole: string;
let groups: Buffer;

before(async () => {
  const random = seededRandom(3);
  for (let at = 0; at < content.length; at += sector) random.bytes(content.subarray(at, at + sector / 2));
  const { image } = site('whole');
  whole = image;
  const crew = dying('none', 0);
  await packImage(image, options({ crew }));
  assert.equal(packed(crew), tasks);
  groups = groupsOf(image);
});

interface Site {
  readonly image: string;
  readonly hidden: string;
}

function site(name: string): Site {
  const directory = folder(name);
  const image = join(directory, 'disk.raw');
  writeFileSync(image, content);
  return { image, hidden: join(directory, '.viaduct') };
}

function packed({ done }: { readonly done: readonly string[] }): number {
  return done.filter((kind) => kind === 'pack').length;
}

function groupsOf(image: string): Buffer {
  return readFileSync(join(image, '../.viaduct/disk.raw.pack')).subarray(packHeaderBytes);
}

/** Killed when so many tasks of the second pass were done. */
async function kill({ image, hidden }: Site, after: number, over: Partial<PackOptions> = {}): Promise<void> {
  await assert.rejects(packImage(image, options({ crew: dying('pack', after), ...over })), /killed/);
  assert.deepEqual(
    readdirSync(hidden)
      .filter((name) => name.startsWith('.'))
      .sort(),
    kept,
  );
}

/** Packs it; `compressed`: tasks of the second pass that had to be done. */
async function finish(
  { image, hidden }: Site,
  over: Partial<PackOptions> = {},
): Promise<PackReport & { compressed: number }> {
  const crew = dying('none', 0);
  const report = await packImage(image, options({ crew, ...over }));
  assert.deepEqual(
    readdirSync(hidden)
      .filter((name) => !name.endsWith('.ws'))
      .sort(),
    ready,
  );
  assert.equal((await verifyImage(image, options())).isRight, true);
  return { ...report, compressed: packed(crew) };
}

test('killed anywhere in the second pass, the next packer compresses what is missing, and the pack is the same', async () => {
  for (const after of [0, 1, 3, tasks - 1]) {
    const place = site(`killed-${after}`);
    await kill(place, after);
    const report = await finish(place);
    assert.deepEqual([report.compressed, report.resumedPackBytes > 0], [tasks - after, after > 0], `after ${after}`);
    assert.equal(report.packBytes, statSync(join(place.hidden, 'disk.raw.pack')).size);
    assert.ok(groupsOf(place.image).equals(groups), `after ${after}`);
  }
  const place = site('killed-often');
  for (const after of [1, 2, 0, 1]) await kill(place, after);
  assert.equal((await finish(place)).compressed, 2);
  assert.ok((await unpacked(place.image)).equals(content));
  assert.ok(groupsOf(place.image).equals(groups));
});

test('stopped when all groups were there, nothing is compressed again', async () => {
  const place = site('late');
  mkdirSync(join(place.hidden, 'disk.raw.pack'), { recursive: true });
  assert.equal(await code(packImage(place.image, options())), 'IMAGE_UNREADABLE');
  rmdirSync(join(place.hidden, 'disk.raw.pack'));
  const told: number[] = [];
  const onProgress = ({ stage, doneBytes }: { stage: string; doneBytes: number }): void => {
    if (stage === 'pack') told.push(doneBytes);
  };
  const report = await finish(place, { random: seededRandom(8), onProgress });
  assert.deepEqual([report.compressed, told[0]], [0, report.distinctBytes]);
  assert.ok(groupsOf(place.image).equals(groups));
});

test('an abort in the second pass keeps what was done', async () => {
  const place = site('abort');
  const end = new AbortController();
  let tasksDone = 0;
  const onProgress = ({ stage }: { stage: string }): void => {
    if (stage === 'pack' && ++tasksDone === 2) end.abort();
  };
  const aborted = packImage(place.image, options({ onProgress, signal: end.signal }));
  await assert.rejects(aborted, { name: 'AbortError' });
  assert.deepEqual(readdirSync(place.hidden).sort(), kept);
  assert.equal((await finish(place)).compressed, tasks - 2);
  assert.ok(groupsOf(place.image).equals(groups));
});

test('what is damaged is cut off with all behind it, and done again', async () => {
  const flip = (name: string, at: number) => (hidden: string) => {
    const path = join(hidden, name);
    const bytes = readFileSync(path);
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    writeFileSync(path, bytes);
  };
  const cut = (name: string, bytes: number) => (hidden: string) => {
    const path = join(hidden, name);
    truncateSync(path, Math.max(0, statSync(path).size - bytes));
  };
  const [part, list] = ['.disk.raw.pack-part', '.disk.raw.pack-list'];
  // A record of the list: 16 bytes, and 4 for each of 8 groups.
  const [header, record] = [512, 48];
  const damages: [string, number, (hidden: string) => void][] = [
    ['first byte of the first task', 4, flip(part, packHeaderBytes)],
    ['last byte of the last task', 1, flip(part, -1)],
    ['the pack is a byte short', 1, cut(part, 1)],
    ['the pack is empty', 4, cut(part, MiB * tasks)],
    ['the list is a byte short', 1, cut(list, 1)],
    ['the list is empty', 4, cut(list, MiB)],
    ['fingerprint', 4, flip(list, 60)],
    ['groups of the second record', 3, flip(list, header + record)],
    ['bytes of the second record', 3, flip(list, header + record + 4)],
    ['sum of the bytes of the third record', 2, flip(list, header + 2 * record + 8)],
    ['sum of the third record', 2, flip(list, header + 2 * record + 12)],
    ['size of a group of the fourth record', 1, flip(list, header + 3 * record + 20)],
    ['something behind both', 0, (hidden) => [part, list].map((name) => appendFileSync(join(hidden, name), 'more'))],
    ['the list is gone', 4, (hidden) => rmSync(join(hidden, list))],
    ['the pack is gone', 4, (hidden) => rmSync(join(hidden, part))],
  ];
  const place = site('damaged');
  for (const [what, lost, damage] of damages) {
    await kill(place, 4, { isAgain: true });
    damage(place.hidden);
    const report = await finish(place, { isAgain: true });
    assert.equal(report.compressed, tasks - 4 + lost, what);
    assert.ok(groupsOf(place.image).equals(groups), what);
  }
});

test('groups of other bytes, of another order or another level are not gone on with', async () => {
  const place = site('other');
  await kill(place, 3);
  const { stamp } = headOf(whole);
  const set = { purpose: 'boot', blocks: Uint32Array.of(40, 3), weights: Uint8Array.of(1, 1), runs: 1, stamp };
  writeFileSync(join(place.hidden, 'disk.raw.boot.ws'), encodeWorkingSet(set));
  const ordered = await finish(place);
  assert.deepEqual([ordered.compressed, ordered.resumedPackBytes], [tasks, 0]);
  assert.deepEqual(groupsOf(place.image).equals(groups), false);

  await kill(place, 3, { isAgain: true });
  const level = await finish(place, { isAgain: true, level: 1 });
  assert.deepEqual([level.compressed, level.resumedPackBytes, level.resumedBytes], [tasks, 0, content.length]);

  await kill(place, 3, { isAgain: true });
  const other = Buffer.from(content);
  other[5 * MiB]! ^= 1;
  writeFileSync(place.image, other);
  assert.equal((await finish(place)).compressed, tasks);
});

test('after a touch the image is read again, and what is compressed of the same bytes is kept', async () => {
  const place = site('touched');
  await kill(place, 3);
  utimesSync(place.image, 5, 5);
  const report = await finish(place);
  assert.deepEqual([report.compressed, report.resumedBytes], [tasks - 3, 0]);
  assert.ok(groupsOf(place.image).equals(groups));
});

test('a file that is changed, or is nothing but zeros now, leaves nothing of the second pass', async () => {
  const place = site('changed');
  await kill(place, 3);
  const onProgress = ({ stage }: { stage: string }): void => {
    if (stage === 'pack') utimesSync(place.image, 6, 6);
  };
  assert.equal(await code(packImage(place.image, options({ onProgress }))), 'IMAGE_CHANGED');
  assert.deepEqual(readdirSync(place.hidden), []);
  await kill(place, 3);
  writeFileSync(place.image, Buffer.alloc(MiB));
  await packImage(place.image, options());
  assert.deepEqual(readdirSync(place.hidden), ['disk.raw.meta']);
});

test('an image whose name ends like that of another one’s pack keeps to its own files', async () => {
  const place = site('names');
  const other = `${place.image}.pack`;
  writeFileSync(other, Buffer.from(content).reverse());
  const crew = dying('pack', 2);
  await assert.rejects(packImage(other, options({ crew })), /killed/);
  await assert.rejects(packImage(place.image, options({ crew: dying('pack', 4) })), /killed/);
  for (const [image, compressed] of [
    [other, tasks - 2],
    [place.image, tasks - 4],
  ] as const) {
    const last = dying('none', 0);
    await packImage(image, options({ crew: last }));
    assert.equal(packed(last), compressed);
    assert.equal((await verifyImage(image, options())).isRight, true);
  }
});

test('a part that belongs to somebody else is not gone on with', { skip: notRoot }, async () => {
  const place = site('theirs');
  await kill(place, 3);
  chownSync(join(place.hidden, '.disk.raw.pack-part'), 1234, 5678);
  assert.equal((await finish(place)).compressed, tasks);
});

test('the lock of another user’s packer is his as long as he holds it', { skip: notRoot }, async () => {
  const place = site('locked');
  await kill(place, 3);
  const lock = join(place.hidden, '.disk.raw.part');
  chownSync(lock, 1234, 5678);
  const held = openSync(lock, 'r+');
  assert.equal(flockExclusive(held), 0);
  assert.equal(await code(packImage(place.image, options())), 'IMAGE_BUSY');
  assert.equal(fstatSync(held).nlink, 1);
  closeSync(held);
  assert.equal((await finish(place)).compressed, tasks - 3);
});

test('what somebody else put in the place of a pack is not published', async () => {
  const place = site('replaced');
  const crew = options().crew;
  const part = join(place.hidden, '.disk.raw.pack-part');
  const meddling: Crew = {
    ...crew,
    run: (task) => {
      if (task.kind === 'pack') {
        rmSync(part, { force: true });
        writeFileSync(part, 'another');
      }
      return crew.run(task);
    },
  };
  assert.equal(await code(packImage(place.image, options({ crew: meddling }))), 'IMAGE_BUSY');
  assert.equal(existsSync(join(place.hidden, 'disk.raw.pack')), false);
});

test('adopting keeps what a packer goes on with, unless there is nothing left to pack', async () => {
  const place = site('adopted');
  await finish(place);
  const other = Buffer.from(content);
  other[5 * MiB]! ^= 1;
  writeFileSync(place.image, other);
  await kill(place, 3);
  assert.equal((await adoptImage(place.image, options())).outcome, 'different');
  assert.deepEqual(readdirSync(place.hidden).sort(), [...kept, ...ready]);
  const end = new AbortController();
  end.abort();
  await assert.rejects(adoptImage(place.image, options({ signal: end.signal })), { name: 'AbortError' });
  assert.deepEqual(readdirSync(place.hidden).sort(), [...kept, ...ready]);
  assert.equal((await finish(place)).compressed, tasks - 3);

  utimesSync(place.image, 7, 7);
  await kill(place, 3);
  assert.equal((await adoptImage(place.image, options())).outcome, 'adopted');
  assert.deepEqual(readdirSync(place.hidden).sort(), ready);
  writeFileSync(place.image, content);
  assert.equal((await adoptImage(place.image, options())).outcome, 'different');
  assert.deepEqual(readdirSync(place.hidden).sort(), ready);
});
