/** Stamps: what the clean cache recognises a version of a file by, made of attributes. */
import type { FileStamp } from '../../cache/mod.ts';
import type { Attributes, WccAttributes } from '../../vfs/mod.ts';

export function stampOf(attributes: WccAttributes, fileid: bigint): FileStamp {
  return {
    size: attributes.size,
    mtimeSeconds: attributes.mtime.seconds,
    mtimeNanoseconds: attributes.mtime.nanoseconds,
    ctimeSeconds: attributes.ctime.seconds,
    ctimeNanoseconds: attributes.ctime.nanoseconds,
    fileid,
  };
}

export function stampOfAttributes(attributes: Attributes): FileStamp {
  return stampOf(attributes, attributes.fileid);
}

export function sameStamp(a: FileStamp, b: FileStamp): boolean {
  return (
    a.size === b.size &&
    a.mtimeSeconds === b.mtimeSeconds &&
    a.mtimeNanoseconds === b.mtimeNanoseconds &&
    a.ctimeSeconds === b.ctimeSeconds &&
    a.ctimeNanoseconds === b.ctimeNanoseconds &&
    a.fileid === b.fileid
  );
}

/** Whether `a` was seen before `b`, as far as the change time tells. */
export function isOlder(a: FileStamp, b: FileStamp): boolean {
  if (a.ctimeSeconds !== b.ctimeSeconds) return a.ctimeSeconds < b.ctimeSeconds;
  return a.ctimeNanoseconds < b.ctimeNanoseconds;
}
