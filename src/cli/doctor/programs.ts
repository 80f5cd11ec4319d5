/** The programs around Viaduct: QEMU with its nfs:// driver, mount.nfs, rpcbind. */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { ok, type Probe, warn } from './probe.ts';

const programLimitMs = 4_000;

export const programProbes: readonly Probe[] = [
  { name: 'QEMU', look: lookAtQemu },
  { name: 'QEMU nfs:// driver', look: lookAtDriver },
  { name: 'mount.nfs', look: lookAtHelper },
];

async function lookAtQemu() {
  const text = await output('qemu-system-x86_64', ['--version']);
  if (text === undefined)
    return warn(
      'is not installed',
      'apt-get install --no-install-recommends qemu-system-x86 qemu-utils qemu-block-extra',
    );
  return ok(text.split('\n')[0]!.replace('QEMU emulator ', ''));
}

async function lookAtDriver() {
  const text = await output('qemu-img', ['--help']);
  if (text === undefined)
    return warn('qemu-img is not installed', 'apt-get install --no-install-recommends qemu-utils qemu-block-extra');
  if (/^Supported formats:.*\bnfs\b/m.test(text)) return ok('is there');
  return warn(
    'this QEMU has none',
    'apt-get install qemu-block-extra; where the distribution has none, use `viaduct mount`.',
  );
}

async function lookAtHelper() {
  for (const path of ['/sbin/mount.nfs', '/usr/sbin/mount.nfs']) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return ok(path);
  }
  return ok('is not installed; `viaduct mount` calls the kernel itself');
}

/** What a program prints, or undefined if it is missing, fails or dawdles. */
function output(program: string, args: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: programLimitMs, killSignal: 'SIGKILL' }, (error, stdout) =>
      resolve(error === null ? stdout : undefined),
    );
  });
}
