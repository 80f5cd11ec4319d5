/**
 * How a `FileRecord` lies in the log's notes: JSON without what the note's key says already. Handles and names, which are any
 * bytes, lie in it as base64: JSON makes up to six bytes of one, and a note is bounded.
 *
 *     note  "file:" handle  ->  {"place":{..},"path":"..","base":{..},"owner":{..},"presented":{..},"times":{..},"intent":{..},"conflict":{..}}
 */
import { limits } from '../../base/mod.ts';
import type { FileNumber } from '../../dirty/mod.ts';
import type { FileHandle, WccAttributes } from '../../vfs/mod.ts';
import type { FileRecord } from './contract.ts';
import { wccOf } from './times.ts';

export const fileNotes = 'file:';

export type RecordFields = Omit<FileRecord, 'number' | 'handle'>;

export function emptyRecord(number: FileNumber, handle: FileHandle): FileRecord {
  return {
    number,
    handle,
    place: undefined,
    base: undefined,
    owner: undefined,
    presented: undefined,
    times: undefined,
    intent: undefined,
    conflict: undefined,
  };
}

/** The two versions differ, and somebody has to decide: until then the file takes no changes of content. */
export function isFrozen({ conflict }: FileRecord): boolean {
  return conflict !== undefined && conflict.kind !== 'interleaved';
}

/** At most about 3,700 bytes, whatever clients and the origin choose. */
export function encodeRecord({ number: _, handle: __, ...fields }: FileRecord): Uint8Array {
  // A name that no protocol of ours lets through is not worth a place.
  const isLong = fields.place !== undefined && fields.place.name.length > limits.nameBytes;
  return Buffer.from(JSON.stringify(isLong ? { ...fields, place: undefined } : fields, encoded));
}

const bytesKeys: readonly string[] = ['directory', 'name', 'path'];

/** Whole attributes may stand where size and times are meant. */
function encoded(key: string, value: unknown): unknown {
  if (typeof value === 'string' && bytesKeys.includes(key)) return Buffer.from(value, 'latin1').toString('base64');
  return isAttributes(value) ? wccOf(value) : value;
}

function decoded(key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !bytesKeys.includes(key)) return value;
  return Buffer.from(value, 'base64').toString('latin1');
}

function isAttributes(value: unknown): value is WccAttributes {
  return typeof value === 'object' && value !== null && 'fileid' in value;
}

/** Notes are checksummed by the log: what is there is what `encodeRecord` of this version wrote. */
export function decodeRecord(number: FileNumber, handle: FileHandle, note: Uint8Array): FileRecord {
  const text = Buffer.from(note.buffer, note.byteOffset, note.length).toString();
  const fields = JSON.parse(text, decoded) as Partial<RecordFields>;
  return { ...emptyRecord(number, handle), ...fields };
}
