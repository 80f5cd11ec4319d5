/** Arithmetic on NFS times, for times that never go back. */
import type { Time, WccAttributes } from '../../vfs/mod.ts';
import { timeEquals } from '../../vfs/mod.ts';

export const epochStart: Time = { seconds: 0, nanoseconds: 0 };

export function isLater(a: Time, b: Time): boolean {
  return a.seconds > b.seconds || (a.seconds === b.seconds && a.nanoseconds > b.nanoseconds);
}

export function latest(a: Time, b: Time): Time {
  return isLater(b, a) ? b : a;
}

/** The next time that NFS can tell apart. */
export function justAfter({ seconds, nanoseconds }: Time): Time {
  return nanoseconds < 999_999_999
    ? { seconds, nanoseconds: nanoseconds + 1 }
    : { seconds: seconds + 1, nanoseconds: 0 };
}

/** The wall clock's time, or just after `last` if the clock has not come so far. */
export function timeAfter(last: Time, wallTimeMs: number): Time {
  const seconds = Math.floor(wallTimeMs / 1000);
  const nanoseconds = Math.floor((wallTimeMs - seconds * 1000) * 1e6);
  const now = { seconds, nanoseconds };
  return isLater(now, last) ? now : justAfter(last);
}

/** Whether the content is the same as far as size and modification time tell; a chmod moves only ctime. */
export function sameData(a: WccAttributes, b: WccAttributes): boolean {
  return a.size === b.size && timeEquals(a.mtime, b.mtime);
}

export function wccOf({ size, mtime, ctime }: WccAttributes): WccAttributes {
  return { size, mtime, ctime };
}
