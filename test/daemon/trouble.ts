/** What tests of trouble have in common: who is in it, who looks on, and how it is made. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { blockContent } from '../write-back/content.ts';
import { type DaemonBed, fileUrl } from './daemon-bed.ts';
import { Disk } from './load.ts';

/** Nothing is written back by itself. */
export const later = { 'write-back-after': '1h', 'dirty-age': '24h' };

/** Folders of the origin, each with a block and an image. */
export async function prepare(bed: DaemonBed, ...folders: string[]): Promise<void> {
  for (const folder of folders) {
    await mkdir(join(bed.exported, folder));
    await writeFile(join(bed.exported, folder, 'data'), blockContent(0, 1));
    await writeFile(join(bed.exported, folder, 'image.raw'), Buffer.alloc(2 ** 21));
  }
}

/** Writes all the time to a session of its own, over libnfs. */
export async function bystander(bed: DaemonBed, folder: string, origin = join(bed.exported, folder)): Promise<Disk> {
  await bed.client.createSession({ name: folder, origin, policy: 'vm-disk' });
  const disk = await Disk.open(fileUrl(await bed.session(folder), 'image.raw'), 1);
  bed.atEnd(() => disk.kill());
  return disk.begin();
}

/** The environment of a daemon that can be told to fail (faults.ts). */
export async function faults(file: string): Promise<Record<string, string>> {
  await writeFile(file, '');
  const hook = new URL('./faults.ts', import.meta.url).href;
  return { VIADUCT_TEST_FAULTS: file, NODE_OPTIONS: `--import=${hook}` };
}
