/** The guest's kernel, and the initial file system that loads what the disk needs and goes over to it. */
import { chmod, copyFile, mkdir, readdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ViaductError } from '../base/mod.ts';
import { run } from './program.ts';
import { initialInit, modules } from './recipe.ts';
import type { Workshop } from './workshop.ts';

const failure = 'GUEST_BUILD_FAILED' as const;

export const kernelTree = (workshop: Workshop): string => join(workshop.scratch, 'kernel');
export const busyboxFile = (workshop: Workshop): string => join(workshop.scratch, 'busybox', 'bin', 'busybox');

/** Fetches the kernel's and the static busybox's packages, unless an earlier run did. */
export async function fetchKernel(workshop: Workshop): Promise<void> {
  const text = await run('apt-cache', ['depends', '--important', 'linux-image-amd64'], { ...workshop, failure });
  const image = /Depends: (linux-image-\S+)/.exec(text)?.[1];
  if (image === undefined)
    throw new ViaductError(failure, {
      cause: 'the package lists do not name a kernel (linux-image-amd64)',
      remedy: 'use Debian on x86-64, and run apt-get update',
    });
  await fetchPackage(workshop, image, 'kernel.deb');
  await fetchPackage(workshop, 'busybox-static', 'busybox.deb');
}

export async function extractKernel(workshop: Workshop, kernel: string): Promise<void> {
  const { signal, parts, scratch } = workshop;
  const tree = kernelTree(workshop);
  await run('dpkg-deb', ['-x', join(parts, 'kernel.deb'), tree], { signal, failure });
  await run('dpkg-deb', ['-x', join(parts, 'busybox.deb'), join(scratch, 'busybox')], { signal, failure });
  const images = (await readdir(join(tree, 'boot'))).filter((name) => name.startsWith('vmlinuz-'));
  await copyFile(join(tree, 'boot', images[0]!), kernel);
  await chmod(kernel, 0o644);
}

export async function buildInitrd(workshop: Workshop, initrd: string): Promise<void> {
  const { signal, scratch } = workshop;
  const tree = join(scratch, 'initial');
  for (const name of ['bin', 'modules', 'proc', 'dev', 'new']) await mkdir(join(tree, name), { recursive: true });
  await copyFile(busyboxFile(workshop), join(tree, 'bin', 'busybox'));
  const files = await readdir(join(kernelTree(workshop), 'lib', 'modules'), { recursive: true, withFileTypes: true });
  for (const module of modules) {
    const found = files.find((file) => file.name === `${module}.ko`);
    // What is not there as a module is built in; if it is neither, the mount of the disk says so.
    if (found !== undefined) await copyFile(join(found.parentPath, found.name), join(tree, 'modules', found.name));
  }
  await writeFile(join(tree, 'init'), initialInit, { mode: 0o755 });
  const script = 'cd "$1" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -9 >"$2"';
  await run('sh', ['-c', script, 'sh', tree, initrd], { signal, failure });
}

async function fetchPackage(workshop: Workshop, name: string, part: string): Promise<void> {
  const { signal, parts, scratch, progress } = workshop;
  const target = join(parts, part);
  if (await exists(target)) return;
  progress.detail(name);
  const folder = join(scratch, 'download');
  await mkdir(folder, { recursive: true });
  // As root, apt would drop to its own user, which cannot write here.
  const args = ['-q', '-o', 'APT::Sandbox::User=root', 'download', name];
  await run('apt-get', args, { signal, failure, cwd: folder });
  const file = (await readdir(folder)).find((entry) => entry.startsWith(`${name}_`));
  if (file === undefined)
    throw new ViaductError(failure, { cause: `apt-get did not bring ${name}`, remedy: 'run apt-get update' });
  await rename(join(folder, file), target);
}

export async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
