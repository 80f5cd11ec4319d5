/** Node, the kernel's NFS client, devices and disks. */

import { access, constants, open, readFile, stat, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, resolve } from 'node:path';
import { formatSize } from '../../base/mod.ts';
import { runtimeDirectory } from '../../control/mod.ts';
import { KernelHandles, makeDirectory } from '../../native/mod.ts';
import { fail, ok, type Probe, warn } from './probe.ts';

const wantedNode = 24;
const littleRoomBytes = 2 * 1024 ** 3;

export function machineProbes(directory: string): readonly Probe[] {
  return [
    { name: 'Node.js', look: lookAtNode },
    { name: 'control sockets', look: lookAtRuntime },
    { name: 'kernel NFS client', look: lookAtClient },
    {
      name: '/dev/kvm',
      look: () =>
        lookAtDevice(
          '/dev/kvm',
          'can be opened (whether guests boot under it, the demo tries)',
          'Without it guests run slowly (TCG): load kvm_intel or kvm_amd, or allow nested virtualization.',
        ),
    },
    {
      name: '/dev/fuse',
      look: () =>
        lookAtDevice('/dev/fuse', 'can be opened', 'Only needed to export images as FUSE files: modprobe fuse.'),
    },
    { name: 'directory', look: () => lookAtDirectory(directory) },
    { name: 'file handles', look: () => lookAtHandles(directory) },
    { name: 'disk space', look: () => lookAtSpace(directory) },
  ];
}

async function lookAtNode() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= wantedNode) return ok(`${process.version} (${process.execPath})`);
  return fail(`${process.version} is too old`, `Run bin/viaduct, which finds Node.js ${wantedNode}, or install it.`);
}

async function lookAtRuntime() {
  const directory = runtimeDirectory({ environment: process.env, uid: process.getuid?.() ?? 0 });
  try {
    makeDirectory(directory, 0o700);
    await access(directory, constants.W_OK);
    return ok(directory);
  } catch (error) {
    return warn(
      `${directory} cannot be used: ${error instanceof Error ? error.message : error}`,
      'Set VIADUCT_RUNTIME_DIR; without it `viaduct status` sees nothing.',
    );
  }
}

async function lookAtClient() {
  const loaded = /\bnfs$/m.test(await readFile('/proc/filesystems', 'utf8'));
  if (loaded) return ok('is there');
  const modules = await readFile(`/lib/modules/${release()}/modules.dep`, 'utf8').catch(() => '');
  if (/\/nfsv3\.ko/.test(modules)) return ok('a module; it is loaded on demand');
  return warn(
    'this kernel has none, so `viaduct mount` does not work here',
    'Use nfs:// in QEMU, or a kernel with CONFIG_NFS_V3.',
  );
}

async function lookAtDevice(path: string, good: string, remedy: string) {
  try {
    const file = await open(path, 'r+');
    await file.close();
    return ok(good);
  } catch (error) {
    return warn(error instanceof Error ? error.message : String(error), remedy);
  }
}

async function lookAtDirectory(directory: string) {
  const path = resolve(directory);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return ok(path);
  if (found !== undefined) return warn(`${path} is not a directory`, 'Name a directory with --directory.');
  return warn(
    `${path} does not exist; the findings below are about the nearest directory above it`,
    'A cache is made by `viaduct proxy`; an export has to be there.',
  );
}

async function lookAtHandles(directory: string) {
  const place = await existingAbove(directory);
  const file = await open(place, 'r');
  try {
    const handle = new KernelHandles().of(file.fd);
    if (typeof handle !== 'number') return ok(`the file system of ${place} names files for good (name_to_handle_at)`);
    return warn(
      `the file system of ${place} has no file handles`,
      '`viaduct serve` works, with a table of places; ext4, xfs and btrfs need none.',
    );
  } finally {
    await file.close();
  }
}

async function lookAtSpace(directory: string) {
  const place = await existingAbove(directory);
  const { bavail, bsize } = await statfs(place);
  const text = `${formatSize(bavail * bsize)} free at ${place}`;
  return bavail * bsize >= littleRoomBytes
    ? ok(text)
    : warn(text, 'A cache needs room: choose another --cache directory, or a small --cache-size.');
}

async function existingAbove(directory: string): Promise<string> {
  for (let path = resolve(directory); ; path = dirname(path)) {
    if (
      path === dirname(path) ||
      (await access(path).then(
        () => true,
        () => false,
      ))
    )
      return path;
  }
}
