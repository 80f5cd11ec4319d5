/** The working sets of an image, as they lie beside it: in which order its blocks are wanted. Of whatever version of the file: order only. */
import { limits } from '../base/mod.ts';
import { ContentError, decodeWorkingSet, type WorkingSet, workingSetName } from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import type { ContentFolder } from './content-folder.ts';
import { readAt } from './local-meta.ts';

/** Header, and what is stored of one block at most. */
const mostBytes = 128 + 5 * limits.workingSetBlocks;

/** `boot` and `resume` first, for somebody waits for them; what was written last, for it is a guess about another day. Damaged ones are left out. */
export function readWorkingSets(folder: ContentFolder, image: string): WorkingSet[] {
  const sets: WorkingSet[] = [];
  for (const name of folder.names()) {
    const purpose = purposeOf(image, name);
    const set = purpose === undefined ? undefined : readOne(folder, name);
    if (set !== undefined && set.purpose === purpose) sets.push(set);
  }
  return sets.sort((a, b) => rankOf(a.purpose) - rankOf(b.purpose) || (a.purpose < b.purpose ? -1 : 1));
}

function rankOf(purpose: string): number {
  const known = ['boot', 'resume'].indexOf(purpose);
  if (known >= 0) return known;
  return purpose === 'written' ? 3 : 2;
}

function purposeOf(image: string, name: string): string | undefined {
  if (!name.startsWith(`${image}.`) || !name.endsWith('.ws')) return undefined;
  const purpose = name.slice(image.length + 1, -3);
  return workingSetName(image, purpose) === name ? purpose : undefined;
}

function readOne(folder: ContentFolder, name: string): WorkingSet | undefined {
  const fd = folder.open(name);
  if (fd === undefined) return undefined;
  try {
    return decodeWorkingSet(readAt(fd, 0, mostBytes, folder.pathOf(name)));
  } catch (error) {
    if (error instanceof ContentError) return undefined;
    throw error;
  } finally {
    closeDescriptor(fd);
  }
}
