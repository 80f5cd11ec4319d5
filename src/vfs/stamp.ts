/** Stamps: what a version of a file is recognised by, made of its attributes. */
import type { Attributes, WccAttributes } from './attributes.ts';

/** What a version of a file is recognised by. Sizes and seconds are integers; negative times are allowed. */
export interface FileStamp {
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly ctimeSeconds: number;
  readonly ctimeNanoseconds: number;
  readonly fileid: bigint;
}

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
