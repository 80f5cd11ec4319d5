/**
 * A guest's disk is an image over nfs://, which QEMU writes while the proxy is killed. The guest sees a pause and no error; the
 * image at the origin is a clean file system at every moment, and in the end the files are what the guest was promised.
 *
 * Every other round the guest loses its power in the end: then the image is what a disk is after that, and no fsync is lost.
 */
import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '../../src/base/mod.ts';
import type { MicroVmResult } from '../kernel/microvm.ts';
import { attempt, run, sha256File } from '../support/programs.ts';
import { Bed } from './bed.ts';
import { delayOf, type GuestOptions, workUnderKills } from './killed-guest.ts';
import type { Round } from './round.ts';
import { Sampler } from './sampler.ts';

const diskMebibytes = 32;

const script = (seconds: number): string => `
grep -q ' /tmp/scratch ext4' /proc/mounts || exit 91
cd /tmp/scratch
echo WORK
end=$(($(cut -d. -f1 /proc/uptime) + ${seconds}))
i=0
while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do
  i=$((i + 1)); name=file-$((i % 7))
  dd if=/dev/urandom of=/tmp/own bs=4k count=$((1 + i * 7 % 90)) 2>/dev/null
  dd if=/tmp/own of=$name.new bs=8k conv=fsync 2>/dev/null || echo "ERROR dd"
  mv $name.new $name || echo "ERROR mv"
  mkdir -p d$((i % 3))/x && cp $name d$((i % 3))/x/copy-$((i % 4)) && rm -rf d$(((i + 1) % 3)) || echo "ERROR tree"
  sync
  echo "FILE $i $name $(sha256sum </tmp/own | cut -c1-64)"
done
grep -q ' /tmp/scratch ext4 rw' /proc/mounts || echo "ERROR read-only"
cd /
umount /tmp/scratch || exit 92
`;

export async function guestDisk(round: number, options: GuestOptions): Promise<Round> {
  const random = seededRandom(round);
  const after = delayOf(round);
  const losesPower = round % 2 === 0;
  return await Bed.use({ name: 'disk', limitMs: 250_000, after }, async (bed) => {
    const image = join(bed.exported, 'disk.raw');
    await run('mke2fs', ['-q', '-t', 'ext4', image, `${diskMebibytes}M`]);
    await bed.startOrigin();
    await bed.startProxy();
    const sampler = new Sampler(() => lookAtDisk(bed), random, 400);
    const result = await workUnderKills(bed, {
      ...{ ...options, random, sampler, awayMs: 600 },
      machine: { memoryMiB: 160, disk: bed.url('disk.raw'), script: script(options.seconds) },
      errors: /ERROR|I\/O error|EXT4-fs error|Call Trace|BUG:|QEMU:/,
      powerLossMs: losesPower ? 1500 : undefined,
    });
    if (!losesPower) await run('e2fsck', ['-f', '-n', image]);
    const files = await assertFiles(bed, result, losesPower);
    await bed.assertOnly(['disk.raw']);
    return { after, files, looks: sampler.looks, 'power lost': String(losesPower) };
  });
}

/** The image at one moment: replay its journal, as the next start would; then nothing may be wrong with it. */
async function lookAtDisk(bed: Bed): Promise<void> {
  const copy = join(bed.scratch, 'look.raw');
  await bed.atOneMoment(() => run('cp', ['--sparse=always', join(bed.exported, 'disk.raw'), copy]));
  await assertCleanAfterReplay(copy, bed);
  await rm(copy);
}

async function assertCleanAfterReplay(image: string, bed: Bed): Promise<void> {
  const mounted = join(bed.scratch, 'mounted');
  await mkdir(mounted, { recursive: true });
  await run('mount', ['-o', 'loop', image, mounted]);
  await run('umount', [mounted]);
  const checked = await attempt('e2fsck', ['-f', '-n', image]);
  assert.equal(checked.code, 0, `the image at the origin is damaged: ${checked.stdout}${checked.stderr}`);
}

/** How many files were compared. After a loss of power the file that was being written may be the next one already. */
async function assertFiles(bed: Bed, { lines }: MicroVmResult, losesPower: boolean): Promise<number> {
  const image = join(bed.exported, 'disk.raw');
  if (losesPower) await assertCleanAfterReplay(image, bed);
  const promised = new Map<string, { sum: string; turn: number }>();
  let turns = 0;
  for (const line of lines) {
    const match = /^FILE (\d+) (\S+) ([0-9a-f]{64})$/.exec(line);
    if (match === null) continue;
    turns = Number(match[1]);
    promised.set(match[2]!, { sum: match[3]!, turn: turns });
  }
  assert.ok(promised.size > 0, 'no file was promised');
  const out = join(bed.scratch, 'out');
  const beingWritten = `file-${(turns + 1) % 7}`;
  for (const [name, { sum }] of promised) {
    if (losesPower && name === beingWritten) continue;
    await rm(out, { force: true });
    await run('debugfs', ['-R', `dump /${name} ${out}`, image]);
    assert.equal(await sha256File(out), sum, `${name} is not what the guest was promised`);
  }
  return turns;
}
