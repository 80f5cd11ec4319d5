/**
 * What lies after the last whole record of a segment: is anything there, and does a record in it say that more had been stable? Then the
 * end is not one that a crash made, but damage.
 *
 *     [header ......][records ............][?][reserved, never written: not read][?][never written ........]
 *                 known           known    from
 *
 * A write that was lost leaves a gap of any length before records that were not, so no run of zeros that is read proves an end: all that may
 * hold bytes is looked at. What was never written since it was reserved, the file system tells (`dataAt`, asked before anything was read): it
 * would give zeros for it to any reader. It is believed if it does not deny what was just read: one that forgets what is still in the page cache does.
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

/** `known`: where bytes of the log that are not zero were just read. `from`: where its whole records end. */
export async function laterClaim(
  segment: Segment,
  seed: number,
  from: number,
  known: readonly number[],
): Promise<LaterClaim> {
  const decoder = new RecordDecoder(seed);
  const { file } = segment;
  const { size } = file;
  const isTrusted = known.length > 0 && known.every((position) => skipZeros(file, position) === position);
  let claim = 0;
  let hasTail = false;
  for (let start = from; start < size; start += windowBytes) {
    if (isTrusted) start = skipZeros(file, start);
    if (start >= size) break;
    const bytes = viewOf(await file.read(start, Math.min(windowBytes + overlapBytes, size - start)));
    if (!hasTail) hasTail = !isZero(bytes);
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
      if (at >= windowBytes || (start + at) % alignment !== 0) continue;
      if (at + recordHeaderBytes > bytes.length) break;
      if (decoder.decode(bytes, at, segment.number, start + at) === 'good') claim = Math.max(claim, decoder.syncedLsn);
    }
  }
  return { claim, hasTail };
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

/** None, or the first one is zero and each as the one before it. */
function isZero(bytes: Buffer): boolean {
  return bytes.length === 0 || (bytes[0] === 0 && bytes.compare(bytes, 0, bytes.length - 1, 1) === 0);
}

/** Where a record may begin next. What is reserved and was never written is not read where that can be told. */
export function skipZeros({ dataAt }: LogFile, position: number): number {
  const at = dataAt?.(position) ?? position;
  return Math.max(position, Math.floor(at / alignment) * alignment);
}

/** Whether anything looks like a record that is not of a segment's head; without the log's seed, so that no checksum can be asked. */
export async function holdsChanges(file: LogFile): Promise<boolean> {
  for (let start = 0; start < file.size; start += windowBytes) {
    const bytes = viewOf(await file.read(start, Math.min(windowBytes + overlapBytes, file.size - start)));
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
