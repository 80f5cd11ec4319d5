/**
 * The small guest's disk: busybox and some files whose checksums the guest verifies before it says that it is ready. Needs no
 * privilege, some seconds to build and some to start.
 */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '../base/mod.ts';
import { busyboxFile } from './kernel.ts';
import { run } from './program.ts';
import type { Workshop } from './workshop.ts';

const KiB = 1024;
const seed = 1813;

export function buildBusyboxDisk(workshop: Workshop, disk: string): [string, () => Promise<void>][] {
  return [['fill the disk', () => fillDisk(workshop, disk)]];
}

async function fillDisk(workshop: Workshop, disk: string): Promise<void> {
  const { recipe, scratch, signal } = workshop;
  const root = join(scratch, 'root');
  for (const name of ['bin', 'sbin', 'proc', 'dev', 'data']) await mkdir(join(root, name), { recursive: true });
  await copyFile(busyboxFile(workshop), join(root, 'bin', 'busybox'));
  await writeFile(join(root, 'sbin', 'init'), recipe.init, { mode: 0o755 });
  const random = seededRandom(seed);
  const sums: string[] = [];
  for (const [count, bytes] of [
    [64, 4 * KiB],
    [24, 64 * KiB],
    [6, 1024 * KiB],
  ] as const)
    for (let i = 0; i < count; i++) {
      const name = `file-${bytes / KiB}k-${i}`;
      const content = random.bytes(Buffer.alloc(bytes));
      await writeFile(join(root, 'data', name), content);
      sums.push(`${createHash('sha256').update(content).digest('hex')}  ${name}\n`);
    }
  await writeFile(join(root, 'SHA256SUMS'), sums.join(''));
  const unfinished = join(scratch, 'disk.raw');
  const args = ['-q', '-F', '-t', 'ext4', '-E', 'root_owner=0:0', '-d', root, unfinished, `${recipe.diskMebibytes}M`];
  await run('mke2fs', args, { signal, failure: 'GUEST_BUILD_FAILED' });
  await rename(unfinished, disk);
}
