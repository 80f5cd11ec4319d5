/** Directories that must not be the same, or lie in one another. Compared as they are written: links are not followed. */
import { dirname, join, relative } from 'node:path';
import { parseOrigin } from '../origins/mod.ts';
import type { Collector } from './collector.ts';
import type { Configuration } from './configuration.ts';
import { resolveOrigin } from './origins.ts';
import type { Path } from './problem.ts';

export function checkDirectories(configuration: Configuration, collector: Collector, folder: string): void {
  checkCaches(configuration, collector);
  const own: { path: Path; what: string; directory: string }[] = configuration.caches.map(({ name, directory }) => ({
    path: ['caches', name, 'directory'],
    what: 'a cache',
    directory,
  }));
  const { stateDirectory, api } = configuration.daemon;
  if (stateDirectory !== undefined)
    own.push({ path: ['daemon', 'state-directory'], what: 'the state directory', directory: stateDirectory });
  if (api.tokenFile !== undefined)
    own.push({ path: ['daemon', 'api', 'token-file'], what: 'the token file', directory: api.tokenFile });
  for (const { path, directory: exported } of exportedDirectories(configuration, folder)) {
    for (const { path: ownPath, what, directory } of own) {
      if (!isWithin(directory, exported)) continue;
      collector.error(ownPath, {
        cause: `${what} must not lie in a directory that a session gives to clients: ${directory} is in ${exported}.`,
        remedy: 'Put it elsewhere: clients would see it, and could change it.',
        other: path,
      });
    }
  }
}

function checkCaches({ caches, daemon }: Configuration, collector: Collector): void {
  for (const [index, cache] of caches.entries()) {
    const path: Path = ['caches', cache.name, 'directory'];
    for (const other of caches.slice(0, index)) {
      const otherPath: Path = ['caches', other.name, 'directory'];
      if (!isWithin(cache.directory, other.directory) && !isWithin(other.directory, cache.directory)) continue;
      const isSame = cache.directory === other.directory;
      collector.error(path, {
        cause: isSame
          ? `the cache "${other.name}" has the same directory, ${cache.directory}.`
          : `${cache.directory} and the directory of the cache "${other.name}", ${other.directory}, lie in one another.`,
        remedy: isSame
          ? 'Give each cache its own directory, or let the sessions share one cache.'
          : `Put them beside each other, for example ${join(dirname(cache.directory), cache.name)} and ${join(dirname(cache.directory), other.name)}.`,
        other: otherPath,
      });
    }
    if (daemon.stateDirectory !== undefined && isWithin(daemon.stateDirectory, cache.directory)) {
      collector.error(path, {
        cause: `the state directory, ${daemon.stateDirectory}, lies in the directory of the cache.`,
        remedy: 'Give the cache an empty directory of its own: it may clear what is in it.',
        other: ['daemon', 'state-directory'],
      });
    }
  }
}

function exportedDirectories(configuration: Configuration, folder: string): { path: Path; directory: string }[] {
  const found: { path: Path; directory: string }[] = [];
  for (const { name, origin } of configuration.sessions) {
    const address = addressOf(origin, configuration, folder);
    if (address?.kind === 'directory') found.push({ path: ['sessions', name, 'origin'], directory: address.path });
  }
  return found;
}

/** undefined: it is told elsewhere that it is not understood. */
function addressOf(
  origin: string,
  { origins }: Configuration,
  folder: string,
): ReturnType<typeof parseOrigin> | undefined {
  try {
    return parseOrigin(resolveOrigin(origin, origins, folder).origin);
  } catch {
    return undefined;
  }
}

function isWithin(directory: string, outer: string): boolean {
  const path = relative(outer, directory);
  return path === '' || !(path === '..' || path.startsWith('../'));
}
