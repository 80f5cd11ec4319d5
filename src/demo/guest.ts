/**
 * Builds a guest from Debian's packages, once, and keeps it.
 *
 * ```
 *  ~/.cache/viaduct/demo/
 *    debian-4f1c2a….lock      who builds it now (a process id)
 *    debian-4f1c2a….parts/    finished pieces of an unfinished build: kernel.deb, busybox.deb, root.tar
 *    debian-4f1c2a…/          vmlinuz initrd disk.raw guest.json; appears whole, by a rename
 * ```
 *
 * Invariants: a folder without `.parts` is complete; each piece appears by a rename, so a build that was broken off goes on where
 * it stopped; the disk is never written after the build.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemCode, ViaductError } from '../base/mod.ts';
import { buildBusyboxDisk } from './busybox-disk.ts';
import { buildDebianDisk } from './debian-disk.ts';
import { buildInitrd, extractKernel, fetchKernel } from './kernel.ts';
import { withLock } from './lock.ts';
import { type GuestKind, type Recipe, recipe, recipeHash } from './recipe.ts';
import type { BuildProgress, Workshop } from './workshop.ts';

export interface Guest {
  readonly kind: GuestKind;
  readonly directory: string;
  readonly kernel: string;
  readonly initrd: string;
  /** The golden disk: raw, never written. */
  readonly disk: string;
  readonly diskBytes: number;
  readonly memoryMebibytes: number;
}

export interface GuestOptions {
  readonly kind: GuestKind;
  readonly cacheDirectory?: string | undefined;
  readonly signal: AbortSignal;
  readonly progress: BuildProgress;
}

export function defaultCacheDirectory(): string {
  const base = process.env.XDG_CACHE_HOME;
  return join(base !== undefined && base !== '' ? base : join(homedir(), '.cache'), 'viaduct', 'demo');
}

/** The guest, from the last run or built now. */
export async function prepareGuest(options: GuestOptions): Promise<Guest> {
  const chosen = recipe(options.kind);
  const cache = options.cacheDirectory ?? defaultCacheDirectory();
  const directory = join(cache, `${chosen.kind}-${recipeHash(chosen)}`);
  const ready = await openGuest(chosen, directory);
  if (ready !== undefined) return ready;
  if (process.arch !== 'x64')
    throw new ViaductError('GUEST_BUILD_FAILED', {
      cause: `the demo's guest is for x86-64, this machine is ${process.arch}`,
      remedy: 'run the demo on an x86-64 machine',
    });
  await mkdir(cache, { recursive: true });
  return await withLock(`${directory}.lock`, options.signal, async () => {
    const built = await openGuest(chosen, directory);
    if (built !== undefined) return built;
    await build(chosen, directory, options);
    const guest = await openGuest(chosen, directory);
    if (guest === undefined)
      throw new ViaductError('GUEST_BUILD_FAILED', {
        cause: `${directory} is not complete after the build`,
        remedy: 'remove that folder and try again',
      });
    return guest;
  });
}

async function openGuest(recipe: Recipe, directory: string): Promise<Guest | undefined> {
  const disk = join(directory, 'disk.raw');
  try {
    await readFile(join(directory, 'guest.json'));
    return {
      kind: recipe.kind,
      directory,
      kernel: join(directory, 'vmlinuz'),
      initrd: join(directory, 'initrd'),
      disk,
      diskBytes: (await stat(disk)).size,
      memoryMebibytes: recipe.memoryMebibytes,
    };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function build(recipe: Recipe, directory: string, options: GuestOptions): Promise<void> {
  const parts = `${directory}.parts`;
  const scratch = join(parts, 'scratch');
  const product = join(parts, 'product');
  const { signal, progress } = options;
  const workshop: Workshop = { recipe, parts, scratch, signal, progress };
  await removeTree(scratch);
  await removeTree(product);
  await mkdir(scratch, { recursive: true });
  await mkdir(product);
  try {
    const disk = join(product, 'disk.raw');
    const buildDisk = recipe.kind === 'debian' ? buildDebianDisk : buildBusyboxDisk;
    const steps: [string, () => Promise<void>][] = [
      ['fetch the kernel', () => fetchKernel(workshop)],
      ['unpack the kernel', () => extractKernel(workshop, join(product, 'vmlinuz'))],
      ['make the initial file system', () => buildInitrd(workshop, join(product, 'initrd'))],
      ...buildDisk(workshop, disk),
    ];
    for (const [index, [text, step]] of steps.entries()) {
      signal.throwIfAborted();
      progress.step(index, steps.length, text);
      await step();
    }
    const made = { kind: recipe.kind, recipe: createHash('sha256').update(JSON.stringify(recipe)).digest('hex') };
    await writeFile(join(product, 'guest.json'), `${JSON.stringify(made)}\n`);
    await rename(product, directory);
    await removeTree(parts);
  } finally {
    await removeTree(scratch);
    await removeTree(product);
  }
}

async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}
