/**
 * What lies after the last whole record of a segment: is anything there, and does a record in it say that more had been stable? Then the
 * end is not one that a crash made, but damage.
 */
import { alignment } from './format.ts';
import { RecordDecoder, recordHeaderBytes } from './record.ts';
import type { Segment } from './segments.ts';

const windowBytes = 256 * 1024;
/** The longest head of a record. */
const overlapBytes = 2048;
const magic = Buffer.from('VDLR', 'latin1');

export interface LaterClaim {
  readonly claim: number;
  readonly hasTail: boolean;
}

export async function laterClaim(segment: Segment, seed: number, from: number): Promise<LaterClaim> {
  const decoder = new RecordDecoder(seed);
  const zeros = Buffer.alloc(windowBytes + overlapBytes);
  const { size } = segment.file;
  let claim = 0;
  let hasTail = false;
  for (let start = from; start < size; start += windowBytes) {
    const bytes = Buffer.from(await segment.file.read(start, Math.min(windowBytes + overlapBytes, size - start)));
    if (!hasTail) hasTail = !bytes.equals(zeros.subarray(0, bytes.length));
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
      if (at >= windowBytes || (start + at) % alignment !== 0) continue;
      if (at + recordHeaderBytes > bytes.length) break;
      if (decoder.decode(bytes, at, segment.number, start + at) === 'good') claim = Math.max(claim, decoder.syncedLsn);
    }
  }
  return { claim, hasTail };
}
