/** One sector's bytes: whether they are zero, and their digest. */
import { hash } from 'node:crypto';
import { assert } from '../base/mod.ts';
import { chunkBytes, digestBytes } from './contract.ts';

/** Never written; 64 KiB stay in the nearest cache while a large buffer streams past them. */
const zeros = Buffer.alloc(64 * 1024);

/** Of any length. */
export function isZero(bytes: Uint8Array): boolean {
  const count = bytes.length;
  if (count === 0) return true;
  // Most that is not zero shows it here, for less than a call into native code costs.
  if (bytes[0] !== 0 || bytes[count - 1] !== 0 || bytes[count >>> 1] !== 0) return false;
  for (let offset = 0; offset < count; offset += zeros.length) {
    const part = Math.min(zeros.length, count - offset);
    if (zeros.compare(bytes, offset, offset + part, 0, part) !== 0) return false;
  }
  return true;
}

/** Of a sector; the last of a file may be given without the zeros that fill it up. */
export function digestOf(chunk: Uint8Array): Uint8Array {
  assert(chunk.length > 0 && chunk.length <= chunkBytes, `a chunk has ${chunk.length} bytes`);
  return hash('sha256', chunk.length === chunkBytes ? chunk : filledUp(chunk), 'buffer').subarray(0, digestBytes);
}

function filledUp(chunk: Uint8Array): Uint8Array {
  const whole = new Uint8Array(chunkBytes);
  whole.set(chunk);
  return whole;
}
