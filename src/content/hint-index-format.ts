/**
 * The hint index as bytes, to outlive a restart. Of this host only, so it is no matter of docs/content-format.md:
 *
 *     0 magic[16]   16 version u32   20 setCount u32   24 fileCount u32   28 entryCount u32   32 bytes of the keys u32
 *    36 crc32 of what follows the header u32   40 zero   60 crc32 of what is before
 *    64 keys, each { count u8, characters }; then entries, each { choice of the set u32, tag u32, file u32, sector u32 }
 */
import { crc32 } from 'node:zlib';
import { limits } from '../base/mod.ts';
import { ContentError } from './contract.ts';
import { HeaderFormat } from './header.ts';

const format = new HeaderFormat('hints', 1, 64);
const entryBytes = 16;
export const longestKey = 255;

export interface HintEntry {
  /** Of the set: the first bytes of the digest, as far as they matter. */
  readonly choice: number;
  readonly tag: number;
  readonly key: string;
  readonly sector: number;
}

export interface StoredHints {
  readonly setCount: number;
  /** In the order in which they are to be told again. */
  readonly entries: Iterable<HintEntry>;
}

export function encodeHints(hints: StoredHints & { readonly entryCount: number }): Uint8Array {
  const files = new Map<string, number>();
  const entries = Buffer.alloc(hints.entryCount * entryBytes);
  let at = 0;
  for (const entry of hints.entries) {
    const file = files.get(entry.key) ?? files.size;
    files.set(entry.key, file);
    entries.writeUInt32LE(entry.choice, at);
    entries.writeUInt32LE(entry.tag, at + 4);
    entries.writeUInt32LE(file, at + 8);
    entries.writeUInt32LE(entry.sector, at + 12);
    at += entryBytes;
  }
  const keys = Buffer.concat(
    [...files.keys()].map((key) => Buffer.from(String.fromCharCode(key.length) + key, 'latin1')),
  );
  const header = format.create();
  const counts = [hints.setCount, files.size, hints.entryCount, keys.length, crc32(entries, crc32(keys))];
  for (const [index, count] of counts.entries()) header.writeUInt32LE(count, 20 + 4 * index);
  return Buffer.concat([format.seal(header), keys, entries]);
}

export function decodeHints(bytes: Uint8Array): StoredHints {
  const header = format.open(bytes);
  const setCount = header.readUInt32LE(20);
  const fileCount = header.readUInt32LE(24);
  const entryCount = header.readUInt32LE(28);
  const keysEnd = format.bytes + header.readUInt32LE(32);
  if (entryCount > limits.hintEntries || fileCount > limits.hintFiles || setCount > limits.hintEntries) {
    throw new ContentError('hints: too many');
  }
  if (bytes.length !== keysEnd + entryCount * entryBytes) throw new ContentError('hints: cut short');
  if (crc32(bytes.subarray(format.bytes)) !== header.readUInt32LE(36)) throw new ContentError('hints: damaged');
  const keys = decodeKeys(
    Buffer.from(bytes.buffer, bytes.byteOffset + format.bytes, keysEnd - format.bytes),
    fileCount,
  );
  return { setCount, entries: decodeEntries(bytes, keysEnd, entryCount, keys) };
}

function decodeKeys(bytes: Buffer, fileCount: number): string[] {
  const keys: string[] = [];
  let at = 0;
  while (keys.length < fileCount) {
    const count = bytes[at++];
    if (count === undefined || at + count > bytes.length) throw new ContentError('hints: a key is cut short');
    keys.push(bytes.toString('latin1', at, at + count));
    at += count;
  }
  if (at !== bytes.length) throw new ContentError('hints: bytes behind the keys');
  return keys;
}

function* decodeEntries(bytes: Uint8Array, start: number, count: number, keys: readonly string[]): Iterable<HintEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, count * entryBytes);
  for (let at = 0; at < view.byteLength; at += entryBytes) {
    const key = keys[view.getUint32(at + 8, true)];
    if (key === undefined) throw new ContentError('hints: a file that is none');
    yield {
      choice: view.getUint32(at, true),
      tag: view.getUint32(at + 4, true),
      key,
      sector: view.getUint32(at + 12, true),
    };
  }
}
