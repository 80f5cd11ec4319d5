/**
 * Boots a guest in QEMU and measures the time from the start of the process to the guest's ready line.
 *
 * ```
 *  overlay.qcow2 (local, new for each boot) ──backing──► the golden disk: a local file, or nfs://host/path
 * ```
 *
 * Invariants: the golden disk is opened read-only; QEMU is gone when `boot` settles, however it settles; its overlay too.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ViaductError } from '../base/mod.ts';
import type { Guest } from './guest.ts';
import { ended, keepLines, programPath, run, spawnProgram, stopProgram } from './program.ts';
import { probeLine, readsWord, readyLine, stepWord } from './recipe.ts';

export type Accelerator = 'kvm' | 'tcg';

/** Where the golden disk is. */
export type DiskPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'nfs'; readonly host: string; readonly path: string };

export interface BootOptions {
  readonly guest: Guest;
  readonly disk: DiskPlace;
  readonly accelerator: Accelerator;
  /** Where the overlay goes. */
  readonly scratch: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** A step of the guest's start-up, as it begins. */
  readonly onStep?: ((step: string, elapsedMs: number) => void) | undefined;
}

export interface BootResult {
  readonly elapsedMs: number;
  /** As the guest's kernel counted them, up to the ready line. */
  readonly reads: number;
  readonly readBytes: number;
}

const diskSectorBytes = 512;
const failure = 'GUEST_BOOT_FAILED' as const;

export async function boot(options: BootOptions): Promise<BootResult> {
  const { guest, scratch, signal } = options;
  const overlay = join(scratch, `overlay-${guest.kind}-${process.pid}.qcow2`);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', overlay, String(guest.diskBytes)], { signal, failure });
  try {
    return await bootWith(options, overlay);
  } finally {
    await rm(overlay, { force: true });
  }
}

/** KVM if this machine's really runs a guest: a device that opens is not enough (nested and emulated ones exist). */
export async function chooseAccelerator(guest: Guest, signal: AbortSignal): Promise<Accelerator> {
  const child = spawnProgram(
    'qemu-system-x86_64',
    [...machine('kvm', guest, 128), '-append', 'console=ttyS0 quiet panic=-1 viaduct.probe'],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: programPath } },
  );
  keepLines(child, 'stderr');
  const end = ended(child, 'qemu-system-x86_64');
  const answered = new Promise<boolean>((resolve, reject) => {
    keepLines(child, 'stdout', (line) => {
      if (line.includes(probeLine)) resolve(true);
    });
    end.then(() => resolve(false), reject);
    const patience = setTimeout(() => resolve(false), kvmProbeMs);
    end.finally(() => clearTimeout(patience)).catch(() => {});
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  try {
    return (await answered) ? 'kvm' : 'tcg';
  } finally {
    await stopProgram(child, 0);
    signal.throwIfAborted();
  }
}

/** A kernel under a working KVM is up in less than two seconds; under an emulated one it takes longer than without. */
const kvmProbeMs = 4000;

function machine(accelerator: Accelerator, guest: Guest, memoryMebibytes: number): string[] {
  return [
    ...['-accel', accelerator, '-machine', 'pc', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-serial', 'stdio', '-m', String(memoryMebibytes), '-kernel', guest.kernel, '-initrd', guest.initrd],
  ];
}

function disk(overlay: string, place: DiskPlace): string {
  const file =
    place.kind === 'file'
      ? { driver: 'file', filename: place.path }
      : { driver: 'nfs', server: { type: 'inet', host: place.host }, path: place.path };
  return JSON.stringify({
    driver: 'qcow2',
    'node-name': 'disk',
    file: { driver: 'file', filename: overlay },
    backing: { driver: 'raw', 'read-only': true, file: { ...file, 'read-only': true } },
  });
}

async function bootWith(options: BootOptions, overlay: string): Promise<BootResult> {
  const { guest, signal, accelerator } = options;
  signal.throwIfAborted();
  const started = performance.now();
  const child = spawnProgram(
    'qemu-system-x86_64',
    [
      ...machine(accelerator, guest, guest.memoryMebibytes),
      ...['-append', 'console=ttyS0 quiet panic=-1'],
      ...['-blockdev', disk(overlay, options.disk), '-device', 'virtio-blk-pci,drive=disk'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: programPath } },
  );
  let reads = 0;
  let sectors = 0;
  const complaints = keepLines(child, 'stderr');
  const end = ended(child, 'qemu-system-x86_64');
  let patience: NodeJS.Timeout | undefined;
  const ready = new Promise<number>((resolve, reject) => {
    const lines = keepLines(child, 'stdout', (line) => {
      const elapsedMs = performance.now() - started;
      if (line.includes(readyLine)) return resolve(elapsedMs);
      if (line.startsWith(stepWord)) options.onStep?.(line.slice(stepWord.length).trim(), elapsedMs);
      if (line.startsWith(readsWord)) [reads, sectors] = line.split(' ').slice(1).map(Number) as [number, number];
    });
    const fail = (what: string): void =>
      reject(
        new ViaductError(failure, {
          cause: `${what}: ${[...complaints.slice(-3), ...lines.slice(-5)].join(' | ')}`,
          remedy: 'look at the last lines of the console in this message; viaduct doctor shows what is missing here',
        }),
      );
    end.then((code) => fail(`QEMU ended with ${code} before ${readyLine}`), reject);
    patience = setTimeout(() => fail(`no ${readyLine} within ${options.timeoutMs / 1000} s`), options.timeoutMs);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  try {
    return { elapsedMs: await ready, reads, readBytes: sectors * diskSectorBytes };
  } finally {
    clearTimeout(patience);
    // Nothing of this run is kept: there is nothing that QEMU should still write.
    child.kill('SIGKILL');
    await end.catch(() => {});
  }
}
