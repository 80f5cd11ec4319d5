/**
 * Bytes on their way: zeros left out, the rest compressed if that helps.
 *
 *     runs     data, zeros, data, zeros, ...     lengths in bytes, one after another; the first may be 0
 *     method   0: the data as it is     1: one zstd frame of it
 *     stored   opaque
 *
 * Invariants: what is decoded has been bounded by the runs, and the runs by `wireLimits`, before anything is allocated; a frame that gives
 * another number of bytes, or wants a window of more than 4 MiB, is an error; nothing is compressed in the event loop's thread.
 */
import { constants, type ZstdOptions, zstdCompress, zstdDecompress } from 'node:zlib';
import { limits } from '../base/mod.ts';
import { chunkBytes, isZero } from '../content/mod.ts';
import type { Payload, ReadRange } from '../vfs/mod.ts';
import { type Codec, XdrError, type XdrReader } from '../xdr/mod.ts';
import { wireLimits } from './protocol.ts';

export interface Packed {
  readonly runs: readonly number[];
  readonly isCompressed: boolean;
  readonly stored: Payload;
}

/** Below it a frame and a trip to the thread pool cost more than they save. */
const smallestBytes = 512;
/** Compressed only if at least a sixteenth is saved. */
const worthwhileShare = 15 / 16;
const level = 3;
const windowLogMaximum = 22;
const spareBytes = 64;
const sampleWindows = 16;
const sampleBytes = 256;
/** Bits of information a byte: random bytes show 7.95 in a sample of 4 KiB. */
const denseBits = 7.7;
/** Never written. */
const zeros: Buffer = Buffer.alloc(limits.transferBytes);

export const packedCodec: Codec<Packed> = {
  encode(writer, { runs, isCompressed, stored }) {
    writer.uint32(runs.length);
    for (const run of runs) writer.uint32(run);
    writer.bool(isCompressed);
    writer.slices(stored);
  },
  decode(reader) {
    const runs = readRuns(reader);
    const isCompressed = reader.bool();
    const stored = reader.slices(wireLimits.packedBytes);
    const storedBytes = byteCount(stored);
    const dataBytes = dataOf(runs);
    if (isCompressed ? storedBytes === 0 || storedBytes >= dataBytes : storedBytes !== dataBytes) {
      throw new XdrError(`${storedBytes} bytes stored for ${dataBytes}`);
    }
    return { runs, isCompressed, stored };
  },
};

function readRuns(reader: XdrReader): number[] {
  const count = reader.uint32();
  if (count > wireLimits.packedRuns) throw new XdrError(`${count} runs`);
  const runs: number[] = [];
  let total = 0;
  for (let i = 0; i < count; i++) {
    const run = reader.uint32();
    if (run === 0 && i > 0) throw new XdrError('a run of nothing');
    total += run;
    if (total > wireLimits.packedBytes) throw new XdrError(`runs of ${total} bytes`);
    runs.push(run);
  }
  return runs;
}

/** Of all that it stands for. */
export function packedBytes({ runs }: Packed): number {
  return runs.reduce((sum, run) => sum + run, 0);
}

function dataOf(runs: readonly number[]): number {
  return runs.reduce((sum, run, i) => (i % 2 === 0 ? sum + run : sum), 0);
}

function byteCount(payload: Payload): number {
  let bytes = 0;
  for (const slice of payload) bytes += slice.length;
  return bytes;
}

/** The data runs of some payload, without the zeros between them: what is left to be compressed. */
export interface Sifted {
  readonly runs: readonly number[];
  readonly data: Payload;
  readonly dataBytes: number;
}

/** `parts`: what was read or is written at those offsets; sectors are those of the file. */
export function sift(parts: readonly (Pick<ReadRange, 'offset'> & { readonly data: Payload })[]): Sifted {
  const runs: number[] = [0];
  const data: Uint8Array[] = [];
  let dataBytes = 0;
  const add = (piece: Uint8Array): void => {
    const isData = !isZero(piece) || runs.length >= wireLimits.packedRuns - 1;
    if ((runs.length % 2 === 1) !== isData) runs.push(0);
    runs[runs.length - 1]! += piece.length;
    if (!isData) return;
    dataBytes += piece.length;
    const last = data[data.length - 1];
    if (last !== undefined && follows(last, piece)) data[data.length - 1] = joined(last, piece);
    else data.push(piece);
  };
  for (const part of parts) {
    let { offset } = part;
    for (const slice of part.data) {
      for (let at = 0; at < slice.length; ) {
        const step = Math.min(slice.length - at, chunkBytes - (offset % chunkBytes));
        add(slice.subarray(at, at + step));
        at += step;
        offset += step;
      }
    }
  }
  return { runs, data, dataBytes };
}

function follows(a: Uint8Array, b: Uint8Array): boolean {
  return a.buffer === b.buffer && a.byteOffset + a.byteLength === b.byteOffset;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  return new Uint8Array(a.buffer, a.byteOffset, a.byteLength + b.byteLength);
}

/** Whether compressing is worth a try, by a sample. */
export function looksCompressible({ data, dataBytes }: Sifted): boolean {
  if (dataBytes < smallestBytes) return false;
  const counts = new Uint32Array(256);
  const step = dataBytes / sampleWindows;
  let taken = 0;
  let before = 0;
  let next = 0;
  for (const slice of data) {
    for (; next < sampleWindows && next * step < before + slice.length; next++) {
      const from = Math.floor(Math.max(0, next * step - before));
      const to = Math.min(slice.length, from + sampleBytes);
      for (let i = from; i < to; i++) counts[slice[i]!]!++;
      taken += to - from;
    }
    before += slice.length;
  }
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= count * Math.log2(count / taken);
  return bits < denseBits * taken;
}

/** The payload of the result may be that of `sifted` itself. Never rejects. */
export async function pack(sifted: Sifted): Promise<Packed> {
  const { runs, data, dataBytes } = sifted;
  const plain = { runs, isCompressed: false, stored: data };
  if (!looksCompressible(sifted)) return plain;
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 };
  const frame = await transform(zstdCompress, contiguous(data), { params, pledgedSrcSize: dataBytes });
  if (frame instanceof Error || frame.length > dataBytes * worthwhileShare) return plain;
  return { runs, isCompressed: true, stored: [frame] };
}

/** Undefined: it is damaged. Zeros are slices of one shared buffer. */
export async function unpack(packed: Packed): Promise<Payload | undefined> {
  const { runs, isCompressed, stored } = packed;
  let data: Payload = stored;
  if (isCompressed) {
    const expected = dataOf(runs);
    const bytes = await transform(zstdDecompress, contiguous(stored), {
      maxOutputLength: expected,
      chunkSize: expected + spareBytes,
      params: { [constants.ZSTD_d_windowLogMax]: windowLogMaximum },
    });
    if (bytes instanceof Error || bytes.length !== expected) return undefined;
    data = [bytes];
  }
  return fillIn(runs, data);
}

function fillIn(runs: readonly number[], data: Payload): Payload {
  const cutter = new Cutter(data);
  return runs.flatMap((run, i) => (run === 0 ? [] : i % 2 === 0 ? cutter.take(run) : [zeros.subarray(0, run)]));
}

/** Cuts a payload into pieces of given lengths, from its front. */
export class Cutter {
  readonly #slices: Payload;
  #index = 0;
  #position = 0;

  constructor(slices: Payload) {
    this.#slices = slices;
  }

  take(count: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let left = count; left > 0; ) {
      const slice = this.#slices[this.#index];
      if (slice === undefined) break;
      const piece = slice.subarray(this.#position, this.#position + left);
      left -= piece.length;
      this.#position += piece.length;
      if (this.#position === slice.length) {
        this.#index++;
        this.#position = 0;
      }
      if (piece.length > 0) pieces.push(piece);
    }
    return pieces;
  }
}

function contiguous(data: Payload): Uint8Array {
  return data.length === 1 ? data[0]! : Buffer.concat(data);
}

type Transform = (
  input: Uint8Array,
  options: ZstdOptions,
  callback: (error: Error | null, result: Buffer) => void,
) => void;

/** The error as a value: damage is nothing unusual. */
function transform(how: Transform, input: Uint8Array, options: ZstdOptions): Promise<Buffer | Error> {
  return new Promise((resolve) => how(input, options, (error, result) => resolve(error ?? result)));
}
