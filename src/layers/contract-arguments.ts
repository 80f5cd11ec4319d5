/** The rules of vfs/filesystem.ts for arguments: each answers what is wrong, or undefined. */
import { limits } from '../base/mod.ts';
import type { FileHandle, Place, SetAttributes, Verifier, WriteArguments } from '../vfs/mod.ts';

/** A rule that was broken, in words; undefined when all is well. */
export type Violation = string | undefined;

const notLatin = /[^\0-\u00ff]/;

export function checkHandle(handle: FileHandle): Violation {
  if (handle.length === 0) return 'a handle is empty';
  if (handle.length > limits.fileHandleBytes) return `a handle has ${handle.length} bytes`;
  return notLatin.test(handle) ? 'a handle is not a binary string' : undefined;
}

export function checkName(name: string, dotsAllowed: boolean): Violation {
  if (name.length === 0) return 'a name is empty';
  if (name.length > limits.nameBytes) return `a name has ${name.length} bytes`;
  if (name.includes('/')) return 'a name holds a slash';
  if (name.includes('\0')) return 'a name holds a NUL';
  if (!dotsAllowed && (name === '.' || name === '..')) return `the name is ${name}`;
  return notLatin.test(name) ? 'a name is not a binary string' : undefined;
}

export function checkPlace(place: Place, dotsAllowed = false): Violation {
  return checkHandle(place.directory) ?? checkName(place.name, dotsAllowed);
}

export function checkVerifier(verifier: Verifier): Violation {
  return verifier.length === 8 ? undefined : `a verifier has ${verifier.length} bytes`;
}

export function checkSize(what: string, value: number): Violation {
  return value >= 0 && Number.isSafeInteger(value) ? undefined : `${what} is ${value}`;
}

export function checkRange(offset: number, count: number): Violation {
  // Offsets beyond 2^53 - 1 may come from the wire as some larger number.
  if (!(offset >= 0)) return `offset is ${offset}`;
  return checkSize('count', count);
}

export function checkSet(set: SetAttributes): Violation {
  if (set.mode !== undefined && (set.mode < 0 || set.mode > 0o7777)) return `mode is ${set.mode.toString(8)}`;
  return set.size === undefined || set.size >= 0 ? undefined : `size is ${set.size}`;
}

export function checkWriteArguments({ object, offset, count, data }: WriteArguments): Violation {
  const wrong = checkHandle(object) ?? checkRange(offset, count);
  if (wrong !== undefined) return wrong;
  const bytes = payloadBytes(data);
  return bytes === count ? undefined : `count is ${count} and the slices hold ${bytes} bytes`;
}

export function payloadBytes(data: readonly Uint8Array[]): number {
  let bytes = 0;
  for (let i = 0; i < data.length; i++) bytes += data[i]!.length;
  return bytes;
}
