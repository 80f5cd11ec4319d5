/**
 * Which session a local path shows files of, and which file there: below a mount by `viaduct mount`, or below one that somebody made of a
 * session's address. Looks at what the kernel says of its mounts, never at the path: a stat on a dead mount never ends.
 *
 *     /proc/self/mountinfo   ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE SUPER-OPTIONS
 *                            36 35 0:50 / /mnt/vm rw,relatime - nfs 127.1.0.5:/golden rw,vers=3,port=40123,...,addr=127.1.0.5
 */
import { isBelow } from '../config/mod.ts';
import type { ListeningPlace } from '../sessions/mod.ts';

interface Candidate {
  readonly mountPoint?: string | undefined;
  readonly session: { readonly place?: ListeningPlace | undefined };
}

export interface MountedPath<Found extends Candidate> {
  readonly found: Found;
  /** Inside the export: empty, or `/` and more. */
  readonly inside: string;
}

/** `path`: absolute; `mountInfo`: the text of /proc/self/mountinfo. */
export function mountedPath<Found extends Candidate>(
  path: string,
  candidates: readonly Found[],
  mountInfo: string,
): MountedPath<Found> | undefined {
  for (const found of candidates) {
    const { mountPoint } = found;
    if (mountPoint !== undefined && isBelow(path, mountPoint)) return { found, inside: behind(path, mountPoint) };
  }
  // The innermost shows; of several at one place, the last that was made.
  const mount = readMounts(mountInfo)
    .filter(({ mountPoint }) => isBelow(path, mountPoint))
    .reduce<Mount | undefined>(
      (best, next) => (best !== undefined && best.mountPoint.length > next.mountPoint.length ? best : next),
      undefined,
    );
  if (mount === undefined || !/^nfs4?$/.test(mount.type)) return undefined;
  const found = candidates.find(({ session: { place } }) => place !== undefined && isOf(mount, place));
  const [, exported = ''] = /^(?:\[[^\]]*\]|[^:]*):(.*)$/.exec(mount.source) ?? [];
  const inside = [exported, mount.root, behind(path, mount.mountPoint)]
    .map((part) => part.replace(/\/+$/, ''))
    .join('');
  return found === undefined ? undefined : { found, inside };
}

interface Mount {
  /** What of its file system is mounted there. */
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  readonly options: ReadonlyMap<string, string>;
}

function readMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line): Mount[] => {
    const [first = '', second = ''] = line.split(' - ');
    const [, , , root, mountPoint] = first.split(' ').map(unescaped);
    const [type, source, superOptions = ''] = second.split(' ').map(unescaped);
    if (root === undefined || mountPoint === undefined || type === undefined || source === undefined) return [];
    const options = superOptions.split(',').map((option): [string, string] => {
      const [key = '', value = ''] = option.split('=', 2);
      return [key, value];
    });
    return [{ root, mountPoint, type, source, options: new Map(options) }];
  });
}

/** Blanks and the like are written in octal. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function isOf({ options }: Mount, { host, port }: ListeningPlace): boolean {
  const address = options.get('addr');
  const isThisHost = address !== undefined && (address === '::1' || address.startsWith('127.'));
  const isHost = address === host || (isThisHost && (host === '0.0.0.0' || host === '::'));
  // The kernel leaves out what is usual.
  return isHost && Number(options.get('port') ?? 2049) === port;
}

function behind(path: string, mountPoint: string): string {
  return mountPoint === '/' ? path : path.slice(mountPoint.length);
}
