/**
 * Bytes stored as a zstd frame if that is smaller, else as they are: the stored count tells which. What is read is bounded before
 * anything is allocated: exactly `count` bytes come out, through a window of at most 4 MiB, or a ContentError.
 */
import { constants, type ZstdOptions, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ContentError } from './contract.ts';

const level = 6;
/** Room behind what is expected: node:zlib takes no buffer below it, and makes a second one when the first is exactly full. */
const spareBytes = 64;

export function squeeze(bytes: Uint8Array): Uint8Array {
  const options = { chunkSize: bytes.length + spareBytes, params: { [constants.ZSTD_c_compressionLevel]: level } };
  const frame = zstdCompressSync(bytes, options);
  // Copied out of the buffer that it was made in, which is as long as the bytes.
  return frame.length < bytes.length ? Uint8Array.from(frame) : bytes;
}

export function unsqueeze(stored: Uint8Array, count: number, what: string): Uint8Array {
  if (stored.length === count) return stored;
  if (stored.length > count) throw new ContentError(`${what}: ${stored.length} bytes stored for ${count}`);
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(stored, frameOptions(count, 22));
  } catch (error) {
    throw frameError(error, what);
  }
  if (bytes.length !== count) throw new ContentError(`${what}: ${bytes.length} bytes instead of ${count}`);
  return bytes;
}

/** A frame that holds more, or wants a larger window, fails without being expanded. */
export function frameOptions(count: number, windowLog: number): ZstdOptions {
  return {
    chunkSize: count + spareBytes,
    maxOutputLength: count,
    params: { [constants.ZSTD_d_windowLogMax]: windowLog },
  };
}

export function frameError(error: unknown, what: string): ContentError {
  return new ContentError(`${what}: ${error instanceof Error ? error.message : String(error)}`);
}
