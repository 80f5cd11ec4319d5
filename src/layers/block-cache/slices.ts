/** Ranges of a payload, without copying. */
import type { Payload } from '../../vfs/mod.ts';

/** Appends the slices of the payload's bytes [begin, end) to `into`. */
export function cut(data: Payload, begin: number, end: number, into: Uint8Array[]): Uint8Array[] {
  let at = 0;
  for (const slice of data) {
    const from = Math.max(begin - at, 0);
    const to = Math.min(end - at, slice.length);
    if (from < to) into.push(from === 0 && to === slice.length ? slice : slice.subarray(from, to));
    at += slice.length;
    if (at >= end) break;
  }
  return into;
}
