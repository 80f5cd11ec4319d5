/**
 * The Debian guest's disk: a minimal system by mmdebstrap, the kernel's modules, and an init of our own, in a raw ext4 image.
 *
 * Ordinary users build it too, where they have subordinate user ids: mmdebstrap works in a user namespace then, and the tree is
 * unpacked in one where the user is root, so that every file of the image is root's.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from './kernel.ts';
import { run } from './program.ts';
import type { Workshop } from './workshop.ts';

const failure = 'GUEST_BUILD_FAILED' as const;

export function buildDebianDisk(workshop: Workshop, disk: string): [string, () => Promise<void>][] {
  return [
    ['install Debian packages', () => installPackages(workshop)],
    ['fill the disk', () => fillDisk(workshop, disk)],
  ];
}

async function installPackages(workshop: Workshop): Promise<void> {
  const { recipe, parts, scratch, signal, progress } = workshop;
  const target = join(parts, 'root.tar');
  if (await exists(target)) return;
  const unfinished = join(scratch, 'root.tar');
  const temporary = join(scratch, 'temporary');
  // Its user namespace's ids must reach its own temporary folder.
  await mkdir(temporary, { mode: 0o755 });
  const isRoot = process.getuid?.() === 0;
  await run('mmdebstrap', ['--variant=minbase', `--include=${recipe.packages.join(',')}`, recipe.suite, unfinished], {
    signal,
    failure,
    env: isRoot ? { TMPDIR: temporary } : {},
    onLine: (line) => {
      if (line.startsWith('I: ')) progress.detail(line.slice(3));
    },
  });
  await rename(unfinished, target);
}

const fillScript = `
set -eu
tar -x $3 -f "$1/root.tar" -C "$2/root"
cp -r "$2/kernel/lib/modules" "$2/root/usr/lib/"
depmod -b "$2/root" "$(ls "$2/kernel/lib/modules")"
cp "$2/init" "$2/root/usr/sbin/viaduct-init"
chmod 755 "$2/root/usr/sbin/viaduct-init"
ln -sf viaduct-init "$2/root/usr/sbin/init"
mke2fs -q -F -t ext4 -d "$2/root" "$2/disk.raw" "$4"
`;

async function fillDisk(workshop: Workshop, disk: string): Promise<void> {
  const { recipe, parts, scratch, signal } = workshop;
  await mkdir(join(scratch, 'root'));
  await writeFile(join(scratch, 'init'), recipe.init);
  const isRoot = process.getuid?.() === 0;
  const shell = [
    'sh',
    '-c',
    fillScript,
    'sh',
    parts,
    scratch,
    isRoot ? '-p' : '--no-same-owner',
    `${recipe.diskMebibytes}M`,
  ];
  const command = isRoot ? shell : ['unshare', '--user', '--map-root-user', ...shell];
  await run(command[0]!, command.slice(1), { signal, failure });
  await rename(join(scratch, 'disk.raw'), disk);
}
