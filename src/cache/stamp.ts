/** File stamps as ten words of a record: size, mtime s + ns, ctime s + ns, fileid; 64-bit values low word first. */
import type { FileStamp } from '../vfs/mod.ts';

const wordRange = 0x1_0000_0000;

export function stampToWords(stamp: FileStamp): Uint32Array {
  const words = new Uint32Array(10);
  putInteger(words, 0, stamp.size);
  putInteger(words, 2, stamp.mtimeSeconds);
  words[4] = stamp.mtimeNanoseconds;
  putInteger(words, 5, stamp.ctimeSeconds);
  words[7] = stamp.ctimeNanoseconds;
  words[8] = Number(BigInt.asUintN(32, stamp.fileid));
  words[9] = Number(BigInt.asUintN(32, stamp.fileid >> 32n));
  return words;
}

export function sizeFromWords(words: Uint32Array, at: number): number {
  return words[at]! + words[at + 1]! * wordRange;
}

/** Two's complement for negative seconds. */
function putInteger(words: Uint32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = Math.floor(value / wordRange);
}
