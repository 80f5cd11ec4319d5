/**
 * What lies after the last whole record of a segment: is anything there, and does a record in it say that more had been stable? Then the
 * end is not one that a crash made, but damage.
 */

import type { LogFile } from './contract.ts';
import { alignment } from './format.ts';
import { RecordDecoder, RecordType, recordHeaderBytes } from './record.ts';
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
    start = skipZeros(segment.file, start);
    if (start >= size) break;
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

/** Where a record may begin next. What is reserved and was never written is not read where that can be told. */
export function skipZeros({ dataAt }: LogFile, position: number): number {
  const at = dataAt?.(position) ?? position;
  return Math.max(position, Math.floor(at / alignment) * alignment);
}

/** Whether anything looks like a record that is not of a segment's head; without the log's seed, so that no checksum can be asked. */
export async function holdsChanges(file: LogFile): Promise<boolean> {
  for (let start = 0; start < file.size; start += windowBytes) {
    const bytes = Buffer.from(await file.read(start, Math.min(windowBytes + overlapBytes, file.size - start)));
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
      const type = bytes[at + 8] ?? 0;
      if ((start + at) % alignment === 0 && type !== 0 && !isOfHead(type)) return true;
    }
  }
  return false;
}

function isOfHead(type: number): boolean {
  return type === RecordType.TABLE || type === RecordType.STATE || type === RecordType.READY;
}
