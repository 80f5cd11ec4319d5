/** Whether meta-data fit the image as it is now, and whether a proxy would use them; if not, why, in words. */
import { sameVersion } from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import type { ContentFolder } from './content-folder.ts';
import type { FileStatus } from './image-file.ts';
import { type LocalMeta, openPack } from './local-meta.ts';

export interface Fit {
  /** The image is of another version than the meta-data. */
  readonly stale?: string;
  /** The meta-data are not the image's owner's alone. */
  readonly distrusted?: string;
  /** There is no pack that belongs to them. */
  readonly packless?: string;
}

export function fitOf(folder: ContentFolder, name: string, meta: LocalMeta, image: FileStatus): Fit {
  const stale = sameVersion(meta.head.stamp, image.stamp) ? undefined : difference(meta.head.stamp, image.stamp);
  const distrusted = distrustOf(meta.status, image);
  let packless: string | undefined;
  if (meta.head.packId !== undefined) {
    const pack = openPack(folder, name, meta.head);
    if (typeof pack === 'string') packless = pack;
    else closeDescriptor(pack);
  }
  return {
    ...(stale === undefined ? {} : { stale }),
    ...(distrusted === undefined ? {} : { distrusted }),
    ...(packless === undefined ? {} : { packless }),
  };
}

export function fits(fit: Fit): boolean {
  return fit.stale === undefined && fit.distrusted === undefined && fit.packless === undefined;
}

function difference(meta: FileStamp, image: FileStamp): string {
  if (meta.size !== image.size) return `the file has ${image.size} bytes, the meta-data are of ${meta.size}`;
  if (meta.mtimeSeconds !== image.mtimeSeconds || meta.mtimeNanoseconds !== image.mtimeNanoseconds) {
    const [written, known] = timesOf(
      [image.mtimeSeconds, image.mtimeNanoseconds],
      [meta.mtimeSeconds, meta.mtimeNanoseconds],
    );
    return `the file was written at ${written}, the meta-data are of ${known}`;
  }
  const [now, before] = timesOf(
    [image.ctimeSeconds, image.ctimeNanoseconds],
    [meta.ctimeSeconds, meta.ctimeNanoseconds],
  );
  return `the file’s change time is another, ${now} instead of ${before}: it was copied, renamed, or got another owner or mode, or other bytes`;
}

type Time = readonly [seconds: number, nanoseconds: number];

/** Two times that differ, in as much detail as it takes to see it. */
function timesOf(one: Time, other: Time): [string, string] {
  const isFine = one[0] === other[0];
  const textOf = ([seconds, nanoseconds]: Time): string => {
    const text = new Date(seconds * 1000).toISOString().slice(0, -'.000Z'.length);
    return `${text}${isFine ? `.${`${nanoseconds}`.padStart(9, '0')}` : ''}Z`;
  };
  return [textOf(one), textOf(other)];
}

/** What a proxy asks (src/layers/content/trust.ts). */
function distrustOf(meta: FileStatus, image: FileStatus): string | undefined {
  if (meta.uid !== image.uid) return `they belong to user ${meta.uid}, the file to user ${image.uid}`;
  const isByAll = (image.mode & 0o002) !== 0;
  const isByGroup = (image.mode & 0o020) !== 0 && (meta.gid === image.gid || isByAll);
  const isMore = ((meta.mode & 0o002) !== 0 && !isByAll) || ((meta.mode & 0o020) !== 0 && !isByGroup);
  return isMore ? 'more people may write to them than to the file' : undefined;
}
