/** Zeros to answer with: one buffer for all, which nobody writes to. */
import { limits } from '../../base/mod.ts';

/** Never touched memory: it costs no page. */
const zeros = Buffer.alloc(limits.transferBytes);

/** `count` zero bytes as slices. */
export function zeroSlices(count: number): Buffer[] {
  const slices: Buffer[] = [];
  for (let left = count; left > 0; left -= zeros.length)
    slices.push(left < zeros.length ? zeros.subarray(0, left) : zeros);
  return slices;
}
