/**
 * How a `FileRecord` lies in the log's notes: JSON without what the note's key says already. Handles and names are one
 * character a byte, which JSON keeps.
 *
 *     note  "file:" handle  ->  {"place":{..},"base":{..},"owner":{..},"presented":{..},"times":{..},"intent":{..},"conflict":{..}}
 */
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

export function encodeRecord({ number: _, handle: __, ...fields }: FileRecord): Uint8Array {
  return Buffer.from(JSON.stringify(fields, plainAttributes));
}

/** Whole attributes may stand where size and times are meant. */
function plainAttributes(_key: string, value: unknown): unknown {
  return isAttributes(value) ? wccOf(value) : value;
}

function isAttributes(value: unknown): value is WccAttributes {
  return typeof value === 'object' && value !== null && 'fileid' in value;
}

/** Notes are checksummed by the log: what is there is what `encodeRecord` of this version wrote. */
export function decodeRecord(number: FileNumber, handle: FileHandle, note: Uint8Array): FileRecord {
  const fields = JSON.parse(Buffer.from(note.buffer, note.byteOffset, note.length).toString()) as Partial<RecordFields>;
  return { ...emptyRecord(number, handle), ...fields };
}
