import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packHeaderBytes } from '../content/mod.ts';
import { bytesOf, unpacked } from '../testing/mod.ts';
import { failure } from './failure.ts';
import { statusOf } from './image-file.ts';
import { adoptImage, findImages, inspectImage, packImage, toText, verifyImage } from './mod.ts';
import { code, folder, options, scratch, signal } from './pack-fixture.test.ts';

const MiB = 1024 * 1024;

test('verify finds a changed sector, a damaged group, a damaged page, a lost pack', async () => {
  const directory = folder('verify');
  const image = join(directory, 'disk.raw');
  const [meta, pack] = ['meta', 'pack'].map((name) => join(directory, `.viaduct/disk.raw.${name}`)) as [string, string];
  writeFileSync(image, bytesOf('abc.'.repeat(2 * 1024)));
  await packImage(image, options());
  const whole = await verifyImage(image, options());
  assert.deepEqual([whole.isRight, whole.checkedGroups], [true, 1]);
  const [metaBytes, packBytes] = [readFileSync(meta), readFileSync(pack)];
  const flipped = (bytes: Buffer, at: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[at]! ^= 0x10;
    return copy;
  };
  writeFileSync(pack, flipped(packBytes, packHeaderBytes + 5_000));
  assert.deepEqual((await verifyImage(image, options())).damagedGroups, [0]);
  writeFileSync(pack, packBytes);
  writeFileSync(meta, flipped(metaBytes, metaBytes.length - 1));
  assert.deepEqual((await verifyImage(image, options())).damagedPages, [1]);
  writeFileSync(meta, flipped(metaBytes, 100));
  for (const head of [
    flipped(metaBytes, 100),
    metaBytes.subarray(0, 200),
    metaBytes.subarray(0, -1),
    Buffer.alloc(0),
  ]) {
    writeFileSync(meta, head);
    const { path, isRight, unusable } = await verifyImage(image, options());
    assert.deepEqual([path, isRight], [image, false]);
    assert.match(unusable ?? '', /^meta: /);
    assert.equal(await code(inspectImage(image, { others: [], signal })), 'IMAGE_NOT_PACKED');
  }
  rmSync(meta);
  assert.equal(await code(verifyImage(image, options())), 'IMAGE_NOT_PACKED');
  writeFileSync(meta, metaBytes);
  rmSync(pack);
  assert.match((await verifyImage(image, options())).fit.packless ?? '', /no pack/);
  writeFileSync(pack, packBytes);
  const { atime, mtime } = statSync(image);
  writeFileSync(image, bytesOf(`abc.axc..b${'c.'}${'abc.'.repeat(2 * 1024 - 3)}`));
  utimesSync(image, atime, mtime);
  const wrong = await verifyImage(image, options());
  assert.deepEqual([wrong.wrongSectors, wrong.firstWrong, wrong.isRight], [2, 5, false]);
  assert.match(wrong.fit.stale ?? '', /change time|written/);
});

test('adopt stamps the same bytes anew, and nothing else', async () => {
  const directory = folder('adopt');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc.'.repeat(2 * 1024)));
  await packImage(image, options());
  assert.equal((await adoptImage(image, options())).outcome, 'current');
  utimesSync(image, 5, 5);
  chmodSync(image, 0o600);
  const pack = readFileSync(join(directory, '.viaduct/disk.raw.pack'));
  assert.match((await inspectImage(image, { others: [], signal })).fit.stale ?? '', /written at 1970/);
  assert.equal((await adoptImage(image, options())).outcome, 'adopted');
  assert.equal((await verifyImage(image, options())).isRight, true);
  for (const name of ['meta', 'pack'])
    assert.equal(statSync(join(directory, `.viaduct/disk.raw.${name}`)).mode & 0o777, 0o600);
  assert.ok(readFileSync(join(directory, '.viaduct/disk.raw.pack')).equals(pack));
  assert.deepEqual(await unpacked(image), readFileSync(image));
  assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), ['disk.raw.meta', 'disk.raw.pack']);

  const before = readFileSync(join(directory, '.viaduct/disk.raw.meta'));
  for (const content of [bytesOf(`abx.${'abc.'.repeat(2 * 1024 - 1)}`), bytesOf('abc.')]) {
    writeFileSync(image, content);
    const report = await adoptImage(image, options());
    assert.deepEqual([report.outcome, report.wrongSectors > 0], ['different', true]);
    assert.ok(readFileSync(join(directory, '.viaduct/disk.raw.meta')).equals(before));
  }
});

test('times that differ below a second are told in full', async () => {
  const image = join(folder('times'), 'disk.raw');
  writeFileSync(image, bytesOf('abc.'));
  execFileSync('touch', ['-d', '2020-01-02T03:04:05.000000007Z', image]);
  await packImage(image, options());
  const stale = async (time: string): Promise<string | undefined> => {
    execFileSync('touch', ['-d', time, image]);
    return (await verifyImage(image, options())).fit.stale;
  };
  assert.equal(
    await stale('2020-01-02T03:04:05.1Z'),
    'the file was written at 2020-01-02T03:04:05.100000000Z, the meta-data are of 2020-01-02T03:04:05.000000007Z',
  );
  assert.equal(
    await stale('2020-01-02T03:04:06Z'),
    'the file was written at 2020-01-02T03:04:06Z, the meta-data are of 2020-01-02T03:04:05Z',
  );
});

test('a name of any bytes is found, packed and verified', async () => {
  const directory = folder('bytes');
  const name = Buffer.from('a\xff\x1b\n\xe9.raw', 'latin1');
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), name]), bytesOf('abc.'));
  const found = [...findImages(directory, { isSmallWanted: true, onError: assert.fail })];
  assert.deepEqual(found, [`${directory}/${name.toString('latin1')}`]);
  assert.equal((await packImage(found[0]!, options())).outcome, 'packed');
  assert.equal((await verifyImage(found[0]!, options())).isRight, true);
  const meta = Buffer.concat([name, Buffer.from('.meta')]);
  assert.ok(readdirSync(join(directory, '.viaduct'), { encoding: 'buffer' }).some((one) => one.equals(meta)));
});

test('a file system that is read-only is no lack of privilege', () => {
  const { code, message, remedy } = failure('make the folder /srv/.viaduct', -30);
  assert.deepEqual(
    [code, message],
    ['CONFIGURATION_INVALID', 'cannot make the folder /srv/.viaduct: EROFS, the file system is read-only.'],
  );
  assert.doesNotMatch(remedy, /root/);
  assert.equal(failure('make it', -13).code, 'PRIVILEGE_NEEDED');
});

test('folders are searched through without .viaduct, links and small files', () => {
  const directory = folder('find');
  mkdirSync(join(directory, 'b/.viaduct'), { recursive: true });
  for (const name of ['a.raw', 'b/c.raw', 'b/.viaduct/c.raw.pack'])
    writeFileSync(join(directory, name), Buffer.alloc(MiB));
  writeFileSync(join(directory, 'b/small'), 'x');
  symlinkSync('a.raw', join(directory, 'link.raw'));
  const found = (isSmallWanted: boolean): string[] =>
    [...findImages(directory, { isSmallWanted, onError: assert.fail })].map((path) =>
      toText(path).slice(directory.length),
    );
  assert.deepEqual(found(false), ['/a.raw', '/b/c.raw']);
  assert.deepEqual(found(true), ['/a.raw', '/b/c.raw', '/b/small']);
  const errors: Error[] = [];
  assert.deepEqual(
    [...findImages(join(directory, 'absent'), { isSmallWanted: true, onError: (error) => errors.push(error) })],
    [],
  );
  assert.equal(errors.length, 1);
});

test('no descriptor is left open', async () => {
  const count = (): number => readdirSync('/proc/self/fd').length;
  const directory = folder('descriptors');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  await packImage(image, options());
  const before = count();
  await packImage(image, options({ isAgain: true, others: [scratch, directory, image] }));
  await verifyImage(image, options());
  await inspectImage(image, { others: [directory], signal });
  utimesSync(image, 5, 5);
  await adoptImage(image, options());
  assert.equal(count(), before);
  assert.equal(typeof statusOf(9_999), 'number');
});
