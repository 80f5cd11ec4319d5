/**
 * A small ext4 of its own on a loop device, that can lose its power.
 *
 *     backing file ◄─ loop device ◄─ ext4 ◄─ what runs on it
 *          │  what the file system has written so far; the rest is only in the page cache
 *          └─ copied at the moment of the crash, and mounted in place of the old one: all that was not synced is gone
 *
 * Needs root. Who has files open on it must be gone before `crash`, `unmount` or `remove`.
 */
import { copyFile, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../support/programs.ts';

export class LoopDisk {
  /** Where it is mounted. */
  readonly path: string;
  readonly #backing: string;
  #mounted = false;

  static async create(scratch: string, name: string, mebibytes: number): Promise<LoopDisk> {
    const disk = new LoopDisk(join(scratch, `${name}.ext4`), join(scratch, name));
    await mkdir(disk.path);
    const file = await open(disk.#backing, 'w');
    await file.truncate(mebibytes * 1024 * 1024);
    await file.close();
    await run('mke2fs', ['-q', '-t', 'ext4', '-m', '0', disk.#backing]);
    await disk.#mount();
    return disk;
  }

  private constructor(backing: string, path: string) {
    this.#backing = backing;
    this.path = path;
  }

  /** The power goes and comes back: what was not synced is as lost as on a real disk. */
  async crash(): Promise<void> {
    const moment = `${this.#backing}.moment`;
    await run('cp', ['--sparse=always', this.#backing, moment]);
    await this.unmount();
    await copyFile(moment, this.#backing);
    await rm(moment);
    await this.#mount();
  }

  /** Another one in its place: this disk broke. */
  async replace(): Promise<void> {
    await this.unmount();
    await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-m', '0', this.#backing]);
    await this.#mount();
  }

  async unmount(): Promise<void> {
    if (!this.#mounted) return;
    await run('umount', [this.path]);
    this.#mounted = false;
  }

  async remove(): Promise<void> {
    await this.unmount();
    await rm(this.#backing, { force: true });
  }

  async #mount(): Promise<void> {
    await run('mount', ['-o', 'loop', this.#backing, this.path]);
    this.#mounted = true;
  }
}
