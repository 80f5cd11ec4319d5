/** Images below a folder: regular files, in the order of their names, without what Viaduct keeps itself. Symbolic links are not followed. */
import { readdirSync } from 'node:fs';
import { limits } from '../base/mod.ts';
import { contentDirectory } from '../content/mod.ts';
import { AT_FDCWD, StatusReader } from '../native/mod.ts';
import { attempt } from './failure.ts';
import { pathBuffer, toText } from './paths.ts';

export interface FindOptions {
  /** Files below `limits.contentSmallestBytes` too. */
  readonly isSmallWanted: boolean;
  /** A folder that cannot be read is passed over. */
  readonly onError: (error: Error) => void;
  /** A folder, a binary path, in which there is content of images. */
  readonly onContent?: (folder: string) => void;
}

const regular = 0o100000;
const typeBits = 0o170000;

/** Binary paths. The folder itself is not one of its images, whatever it is. */
export function* findImages(folder: string, options: FindOptions): Iterable<string> {
  const status = new StatusReader();
  for (const entry of listed(folder, options)) {
    const path = `${folder.replace(/\/+$/, '')}/${entry.name}`;
    if (entry.isFolder) {
      if (entry.name === contentDirectory) options.onContent?.(folder);
      else yield* findImages(path, options);
      continue;
    }
    if (status.ofName(AT_FDCWD, path) < 0 || (status.mode & typeBits) !== regular) continue;
    if (status.size >= limits.contentSmallestBytes || options.isSmallWanted) yield path;
  }
}

interface Listed {
  readonly name: string;
  readonly isFolder: boolean;
}

function listed(folder: string, { onError }: FindOptions): Listed[] {
  try {
    const entries = attempt(`read ${toText(folder)}`, () =>
      readdirSync(pathBuffer(folder), { withFileTypes: true, encoding: 'buffer' }),
    );
    return entries
      .map((entry) => ({ name: entry.name.toString('latin1'), isFolder: entry.isDirectory() }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    onError(error instanceof Error ? error : new Error(String(error)));
    return [];
  }
}
