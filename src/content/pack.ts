/**
 * The pack: a header, then groups of chunks back to back. A group is a zstd frame of its chunks, or the chunks as they are if the
 * frame would not be smaller: the stored count tells which.
 */
import { constants, type ZstdOptions, zstdCompress, zstdCompressSync, zstdDecompress } from 'node:zlib';
import { assert, type Random } from '../base/mod.ts';
import { ContentError, chunkBytes, type GroupPlace, groupChunks } from './contract.ts';
import { packHeaderBytes } from './group-table.ts';
import { fieldsOffset, HeaderFormat } from './header.ts';
import { packIdBytes } from './meta-format.ts';
import { frameError, frameOptions } from './squeeze.ts';

const format = new HeaderFormat('pack', 1, packHeaderBytes);
const defaultLevel = 6;
/** A frame of a group needs no window beyond the group. */
const windowLog = Math.ceil(Math.log2(groupChunks * chunkBytes));

export function newPackId(random: Random): Uint8Array {
  return random.bytes(new Uint8Array(packIdBytes));
}

export function encodePackHeader(id: Uint8Array): Uint8Array {
  assert(id.length === packIdBytes, 'a pack id has 16 bytes');
  const header = format.create();
  header.set(id, fieldsOffset);
  return format.seal(header);
}

/** The id. */
export function decodePackHeader(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(format.open(bytes).subarray(fieldsOffset, fieldsOffset + packIdBytes));
}

/** The bytes to store, compressed in the thread pool. */
export async function encodeGroup(chunks: readonly Uint8Array[], level = defaultLevel): Promise<Uint8Array> {
  assert(chunks.length > 0 && chunks.length <= groupChunks, `a group of ${chunks.length} chunks`);
  for (const chunk of chunks) assert(chunk.length === chunkBytes, `a chunk of ${chunk.length} bytes`);
  const plain = Buffer.concat(chunks);
  const frame = await compress(plain, groupOptions(plain.length, level));
  return frame.length < plain.length ? frame : plain;
}

/** The same in this thread, for a packer that has threads of its own; `plain`: the chunks back to back, given back if no frame is smaller. */
export function encodeGroupNow(plain: Uint8Array, level = defaultLevel): Uint8Array {
  const chunks = plain.length / chunkBytes;
  assert(Number.isInteger(chunks) && chunks > 0 && chunks <= groupChunks, `a group of ${plain.length} bytes`);
  const frame = zstdCompressSync(plain, groupOptions(plain.length, level));
  return frame.length < plain.length ? frame : plain;
}

/** The size told beforehand makes the frame's window the group, instead of megabytes. */
function groupOptions(count: number, level: number): ZstdOptions {
  return { chunkSize: count, pledgedSrcSize: count, params: { [constants.ZSTD_c_compressionLevel]: level } };
}

/**
 * The group's chunks back to back, decompressed in the thread pool; `bytes` itself if they are stored as they are. Exactly
 * chunkCount * 4096 bytes, or a ContentError; what they are is for their digests to say.
 */
export async function decodeGroup(place: GroupPlace, bytes: Uint8Array): Promise<Uint8Array> {
  const what = `group ${place.group}`;
  if (bytes.length !== place.count) throw new ContentError(`${what}: ${bytes.length} bytes of ${place.count}`);
  const count = place.chunkCount * chunkBytes;
  if (place.count === count) return bytes;
  if (place.chunkCount > groupChunks || place.count > count) throw new ContentError(`${what}: the place is wrong`);
  let plain: Uint8Array;
  try {
    plain = await decompress(bytes, frameOptions(count, windowLog));
  } catch (error) {
    throw frameError(error, what);
  }
  if (plain.length !== count) throw new ContentError(`${what}: ${plain.length} bytes instead of ${count}`);
  return plain;
}

function compress(bytes: Uint8Array, options: ZstdOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zstdCompress(bytes, options, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

function decompress(bytes: Uint8Array, options: ZstdOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zstdDecompress(bytes, options, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}
