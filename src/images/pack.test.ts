import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Clock, limits, seededRandom } from '../base/mod.ts';
import { decodePage, encodeWorkingSet } from '../content/mod.ts';
import { bytesOf, headOf, laterClock, unpacked } from '../testing/mod.ts';
import { adoptImage, inspectImage, packImage, startCrew, toBinary, verifyImage } from './mod.ts';
import { code, dying, folder, options, scratch, signal } from './pack-fixture.test.ts';

const sector = 4096;
const MiB = 1024 * 1024;

test('what is packed is the file, with each chunk once, whatever its holes, zeros and end', async () => {
  const directory = folder('bytes');
  const image = join(directory, 'disk é.raw');
  const content = Buffer.concat([bytesOf('ab..a.cab'), Buffer.alloc(20 * MiB), bytesOf('dd.'), Buffer.from('the end')]);
  writeFileSync(image, content);
  const report = await packImage(toBinary(image), options());
  assert.deepEqual(await unpacked(image), content);
  assert.equal(report.outcome, 'packed');
  assert.equal(report.distinctBytes, 5 * sector);
  assert.equal(report.dataBytes, 9 * sector);
  assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), ['disk é.raw.meta', 'disk é.raw.pack']);
  assert.deepEqual(readFileSync(image), content);
  assert.equal((await packImage(toBinary(image), options())).outcome, 'current');

  const sparse = join(directory, 'sparse');
  writeFileSync(sparse, '');
  truncateSync(sparse, 200 * MiB);
  const fd = openSync(sparse, 'r+');
  writeSync(fd, bytesOf('xy'), 0, 2 * sector, 100 * MiB + 8 * sector);
  // Several short extents with holes between them, within one read and over its end.
  for (const at of [0, 3, 7, 250, 260, 300]) writeSync(fd, bytesOf('z'), 0, sector, 150 * MiB + at * sector);
  assert.equal((await packImage(sparse, options())).dataBytes, 8 * sector);
  assert.deepEqual(await unpacked(sparse), readFileSync(sparse));
});

test('data between holes of any layout is found', async () => {
  const directory = folder('holes');
  for (let seed = 1; seed <= 12; seed++) {
    const random = seededRandom(seed);
    const image = join(directory, `disk-${seed}.raw`);
    const sectors = 1 + (random.uint32() % 6_000);
    writeFileSync(image, '');
    truncateSync(image, sectors * sector - (random.uint32() % sector));
    const { size } = statSync(image);
    const fd = openSync(image, 'r+');
    for (let extent = random.uint32() % 60; extent > 0; extent--) {
      const offset = random.uint32() % size;
      const count = Math.min(size - offset, 1 + (random.uint32() % (random.uint32() % 4 === 0 ? 300_000 : 9_000)));
      writeSync(fd, Buffer.alloc(count, 1 + (random.uint32() % 250)), 0, count, offset);
    }
    closeSync(fd);
    await packImage(image, options());
    assert.ok((await unpacked(image)).equals(readFileSync(image)), `seed ${seed}`);
    assert.equal((await verifyImage(image, options())).isRight, true, `seed ${seed}`);
  }
});

test('an empty file and one of nothing but zeros have meta-data and no pack', async () => {
  const directory = folder('zeros');
  for (const [name, size] of [
    ['empty', 0],
    ['zero', 3 * MiB + 5],
  ] as const) {
    const image = join(directory, name);
    writeFileSync(image, bytesOf('a'));
    await packImage(image, options());
    writeFileSync(image, Buffer.alloc(size));
    await packImage(image, options());
    assert.deepEqual(readdirSync(join(directory, '.viaduct')), [`${name}.meta`]);
    assert.deepEqual(await unpacked(image), Buffer.alloc(size));
    assert.equal((await verifyImage(image, options())).isRight, true);
    assert.equal((await packImage(image, options())).outcome, 'current');
    rmSync(join(directory, '.viaduct'), { recursive: true });
  }
});

test('what is wanted whole stays so when it is packed again, until the packer is told otherwise', async () => {
  const image = join(folder('whole'), 'memory');
  writeFileSync(image, bytesOf('ab..'));
  const packed = async (isWantedWhole?: boolean) => {
    const { outcome } = await packImage(image, options({ isWantedWhole }));
    return [outcome, (await inspectImage(image, { others: [], signal })).isWantedWhole];
  };
  assert.deepEqual(await packed(), ['packed', false]);
  assert.deepEqual(await packed(false), ['current', false]);
  assert.deepEqual(await packed(true), ['packed', true]);
  assert.deepEqual(await packed(), ['current', true]);
  writeFileSync(image, bytesOf('abc.'));
  assert.deepEqual(await packed(), ['packed', true]);
  assert.deepEqual(await packed(false), ['packed', false]);
});

test('threads make the same pack as the caller’s own thread', async () => {
  const directory = folder('threads');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc..def'.repeat(5_000)));
  await packImage(image, options());
  const [meta, pack] = ['meta', 'pack'].map((name) => readFileSync(join(directory, `.viaduct/disk.raw.${name}`)));
  const crew = startCrew(2);
  try {
    await packImage(image, options({ isAgain: true, crew }));
    assert.ok(readFileSync(join(directory, '.viaduct/disk.raw.pack')).equals(pack!));
    assert.ok(readFileSync(join(directory, '.viaduct/disk.raw.meta')).equals(meta!));
    assert.equal((await verifyImage(image, options({ crew }))).isRight, true);
  } finally {
    await crew.close();
  }
});

test('chunks come in the order of the working sets, and those of siblings last, in groups of their own', async () => {
  const directory = folder('order');
  const golden = join(directory, 'golden.raw');
  const image = join(directory, 'guest.raw');
  const block = limits.blockBytes / sector;
  const blocks = ['a', 'b', 'c', 'd'].map((letter) => letter + '.'.repeat(block - 1));
  blocks[1] = `bg${'.'.repeat(block - 2)}`;
  writeFileSync(golden, bytesOf('gd'));
  writeFileSync(image, bytesOf(blocks.join('')));
  await packImage(golden, options());
  const { stamp } = headOf(golden);
  const set = (purpose: string, wanted: number[]): Buffer =>
    Buffer.from(
      encodeWorkingSet({
        stamp: { ...stamp, size: MiB },
        purpose,
        blocks: Uint32Array.from(wanted),
        weights: new Uint8Array(wanted.length).fill(1),
        runs: 1,
      }),
    );
  writeFileSync(join(directory, '.viaduct/guest.raw.written.ws'), set('written', [0]));
  writeFileSync(join(directory, '.viaduct/guest.raw.boot.ws'), set('boot', [3, 2]));
  writeFileSync(join(directory, '.viaduct/guest.raw.resume.ws'), 'damaged');
  const report = await packImage(image, options());
  assert.deepEqual(report.siblings, [{ path: golden, chunks: 2 }]);
  const head = headOf(image);
  const meta = readFileSync(join(directory, '.viaduct/guest.raw.meta'));
  const place = head.page(0);
  const page = decodePage(head, 0, meta.subarray(place.offset, place.offset + place.count));
  const numbers = [2 * block, 0, block, 3 * block, block + 1].map((at) => page.chunkOf(at));
  assert.deepEqual(numbers, [0, 1, 2, 3, 4]);
  assert.deepEqual(
    [0, 1].map((group) => head.groupAt(group).chunkCount),
    [3, 2],
  );
  assert.deepEqual(await unpacked(image), readFileSync(image));

  const found = await inspectImage(image, { others: [], signal });
  assert.deepEqual(found.fit, {});
  assert.equal(found.sharedBytes, 2 * sector);
  assert.deepEqual(found.siblings, [{ path: golden, chunks: 2 }]);
  assert.deepEqual(
    found.workingSets.map(({ purpose, blocks, isCurrent }) => [purpose, blocks, isCurrent]),
    [
      ['boot', 2, false],
      ['written', 1, false],
    ],
  );
});

test('images elsewhere count as siblings when they are named, by file or by folder', async () => {
  const [here, there] = [folder('here'), folder('there')];
  const [image, other] = [join(here, 'a'), join(there, 'b')];
  writeFileSync(image, bytesOf('abc'));
  writeFileSync(other, bytesOf('cax'));
  await packImage(other, options());
  assert.equal((await packImage(image, options())).sharedBytes, 0);
  for (const others of [[there], [other], [there, other]]) {
    const report = await packImage(image, options({ others, isAgain: true }));
    assert.deepEqual([report.sharedBytes, report.siblings], [2 * sector, [{ path: other, chunks: 2 }]]);
  }
});

test('what the first pass found is not read again; leftovers go; nothing half-done is seen', async () => {
  const directory = folder('resume');
  const image = join(directory, 'disk.raw');
  const content = bytesOf('abc.'.repeat(5 * 1024));
  writeFileSync(image, content);
  await assert.rejects(packImage(image, options({ crew: dying('scan', 3) })), /killed/);
  assert.deepEqual(readdirSync(join(directory, '.viaduct')), ['.disk.raw.part']);
  // Names of which nobody goes on with anything; the last record of the first pass is torn.
  writeFileSync(join(directory, '.viaduct/.disk.raw.pack.tmp-0badcafe'), 'half');
  const part = join(directory, '.viaduct/.disk.raw.part');
  truncateSync(part, statSync(part).size - 1);
  const crew = dying('pack', 0);
  await assert.rejects(packImage(image, options({ crew })), /killed/);
  assert.deepEqual(crew.done, ['scan', 'scan', 'scan']);
  const kept = ['.disk.raw.pack-list', '.disk.raw.pack-part', '.disk.raw.part'];
  assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), kept);
  const last = dying('none', 0);
  const report = await packImage(image, options({ crew: last }));
  assert.equal(report.resumedBytes, content.length);
  assert.deepEqual(new Set(last.done), new Set(['pack']));
  assert.deepEqual(await unpacked(image), content);
  assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), ['disk.raw.meta', 'disk.raw.pack']);

  // Digests of another version of the file are of no use.
  writeFileSync(image, content.subarray(sector));
  await assert.rejects(packImage(image, options({ crew: dying('pack', 0) })), /killed/);
  writeFileSync(image, content.subarray(2 * sector));
  assert.equal((await packImage(image, options())).resumedBytes, 0);
  assert.deepEqual(await unpacked(image), content.subarray(2 * sector));
});

test('a damaged record of the first pass is read anew', async () => {
  const directory = folder('damaged-part');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc.'.repeat(3 * 1024)));
  await assert.rejects(packImage(image, options({ crew: dying('pack', 0) })), /killed/);
  const part = join(directory, '.viaduct/.disk.raw.part');
  const bytes = readFileSync(part);
  bytes[600]! ^= 1;
  writeFileSync(part, bytes);
  await packImage(image, options());
  assert.deepEqual(await unpacked(image), readFileSync(image));
});

test('a file that changes while it is packed is not packed, and what was there stays', async () => {
  const directory = folder('changing');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  await packImage(image, options());
  const before = readFileSync(join(directory, '.viaduct/disk.raw.meta'));
  const changes: (() => void)[] = [
    () => writeFileSync(image, bytesOf('abd')),
    () => writeFileSync(image, bytesOf('a')),
    () => utimesSync(image, 1, 1),
    () => {
      renameSync(image, `${image}.old`);
      writeFileSync(image, bytesOf('abc'));
    },
  ];
  for (const stage of ['scan', 'pack'] as const) {
    for (const change of changes) {
      writeFileSync(image, bytesOf('abcd'));
      let isDone = false;
      const onProgress = (progress: { stage: string }): void => {
        if (!isDone && progress.stage === stage) change();
        if (progress.stage === stage) isDone = true;
      };
      assert.equal(await code(packImage(image, options({ onProgress }))), 'IMAGE_CHANGED', `${stage} ${change}`);
      assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), ['disk.raw.meta', 'disk.raw.pack']);
      assert.ok(readFileSync(join(directory, '.viaduct/disk.raw.meta')).equals(before));
    }
  }
});

test('a file of this very second is waited for, and one that is written to all the time is refused', async () => {
  const directory = folder('fresh');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  let waited = 0;
  const after = (delayMs: number, action: () => void): { cancel(): void } => {
    waited += delayMs;
    setImmediate(action);
    return { cancel: () => {} };
  };
  const now: Clock = { ...laterClock, wallTimeMs: () => Date.now(), after };
  await packImage(image, options({ clock: now }));
  assert.ok(waited > 2_000 && waited < 4_000, `${waited} ms`);
  const busy: Clock = {
    ...now,
    after(delayMs, action) {
      writeFileSync(image, String(waited));
      return after(delayMs, action);
    },
  };
  assert.equal(await code(packImage(image, options({ clock: busy, isAgain: true }))), 'IMAGE_CHANGED');
});

test('one packer at a time', async () => {
  const directory = folder('busy');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  let second: Promise<string> | undefined;
  const onProgress = (): void => {
    second ??= code(packImage(image, options()));
  };
  await packImage(image, options({ onProgress }));
  assert.equal(await second, 'IMAGE_BUSY');
});

test('an abort keeps the first pass and nothing else', async () => {
  const directory = folder('abort');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc.'.repeat(5 * 1024)));
  const end = new AbortController();
  const onProgress = (): void => end.abort();
  await assert.rejects(packImage(image, options({ onProgress, signal: end.signal })), { name: 'AbortError' });
  assert.deepEqual(readdirSync(join(directory, '.viaduct')), ['.disk.raw.part']);
});

test('owner and mode of what is made follow the image (needs root)', async () => {
  const directory = folder('owner');
  chownSync(directory, 1234, 5678);
  chmodSync(directory, 0o2775);
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  chownSync(image, 4321, 8765);
  chmodSync(image, 0o640);
  await packImage(image, options());
  const hidden = statSync(join(directory, '.viaduct'));
  assert.deepEqual([hidden.uid, hidden.gid, hidden.mode & 0o7777], [1234, 5678, 0o2775]);
  for (const name of ['meta', 'pack']) {
    const { uid, gid, mode } = statSync(join(directory, `.viaduct/disk.raw.${name}`));
    assert.deepEqual([uid, gid, mode & 0o7777], [4321, 8765, 0o640], name);
  }
});

test('what others put in the place of ours is neither followed nor written to', async () => {
  const directory = folder('links');
  const image = join(directory, 'disk.raw');
  const victim = join(scratch, 'victim');
  writeFileSync(image, bytesOf('abc'));
  writeFileSync(victim, 'precious');
  mkdirSync(join(directory, '.viaduct'));
  symlinkSync(victim, join(directory, '.viaduct/.disk.raw.part'));
  symlinkSync(victim, join(directory, '.viaduct/disk.raw.meta'));
  symlinkSync(victim, join(directory, '.viaduct/disk.raw.pack'));
  await packImage(image, options());
  assert.ok(lstatSync(join(directory, '.viaduct/disk.raw.meta')).isFile());
  writeFileSync(image, bytesOf('abd'));
  linkSync(victim, join(directory, '.viaduct/.disk.raw.part'));
  await packImage(image, options());
  assert.equal(readFileSync(victim, 'utf8'), 'precious');
  rmSync(join(directory, '.viaduct'), { recursive: true });
  symlinkSync(scratch, join(directory, '.viaduct'));
  assert.equal(await code(packImage(image, options())), 'CONFIGURATION_INVALID');
  // Of a link to an image, the image is packed, where it lies.
  symlinkSync(join(scratch, 'bytes/sparse'), join(directory, 'link'));
  assert.equal((await packImage(join(directory, 'link'), options())).path, join(scratch, 'bytes/sparse'));
});

test('what is no image is refused with the reason', async () => {
  const directory = folder('refused');
  assert.equal(await code(packImage(join(directory, 'absent'), options())), 'CONFIGURATION_INVALID');
  assert.equal(await code(packImage('/dev/null', options())), 'CONFIGURATION_INVALID');
  assert.equal(await code(packImage(directory, options())), 'CONFIGURATION_INVALID');
  const long = join(directory, 'n'.repeat(251));
  writeFileSync(long, 'x');
  assert.equal(await code(packImage(long, options())), 'CONFIGURATION_INVALID');
  const longest = join(directory, 'n'.repeat(250));
  writeFileSync(longest, bytesOf('ab'));
  await packImage(longest, options());
  assert.deepEqual(await unpacked(longest), bytesOf('ab'));
  writeFileSync(join(directory, 'none'), 'x');
  for (const look of [
    verifyImage(join(directory, 'none'), options()),
    adoptImage(join(directory, 'none'), options()),
  ]) {
    assert.equal(await code(look), 'IMAGE_NOT_PACKED');
  }
});
