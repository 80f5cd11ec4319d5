/**
 * Bytes of files out of the log. What is returned has been verified: the record's head, and each sector that is touched.
 *
 * Extents whose records follow each other in the log come with one read.
 */
import { type Clock, chain, type Eventual, isPromise, type Log } from '../base/mod.ts';
import type { Piece, View } from './contract.ts';
import type { ExtentTree } from './extent-tree.ts';
import { positionOf } from './format.ts';
import { headBytes, mostPayload, RecordDecoder, sectorsAround, sumsFor, verifies } from './record.ts';
import type { Segment } from './segments.ts';

/** A gap of dead bytes between two records that is read rather than begun anew after. */
const mostGapBytes = 16 * 1024;
const mostGroupBytes = 2 * mostPayload;

interface Group {
  readonly segment: Segment;
  readonly from: number;
  to: number;
  readonly offset: number;
  count: number;
  /** Offset, count and position of each extent. */
  readonly extents: number[];
}

type FindSegment = (address: number) => Segment | undefined;
type Slices = readonly Uint8Array[] | undefined;

export interface ReaderOptions {
  readonly seed: number;
  readonly segment: FindSegment;
  readonly log: Log;
  readonly clock: Clock;
}

export class LogReader {
  readonly #options: ReaderOptions;
  readonly #decoder: RecordDecoder;
  damagedReads = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#decoder = new RecordDecoder(options.seed);
  }

  /** `lowWater`: from there on what is not in the tree is zeros. */
  view(
    tree: ExtentTree,
    offset: number,
    count: number,
    lowWater: number,
    segment: FindSegment = this.#options.segment,
  ): View {
    const pieces: Piece[] = [];
    const end = offset + count;
    let at = offset;
    let group: Group | undefined;
    const hole = (to: number): void => {
      if (at >= to) return;
      if (group !== undefined) pieces.push(this.#piece(group));
      group = undefined;
      const base = Math.min(to, Math.max(at, lowWater));
      if (base > at) pieces.push({ kind: 'base', offset: at, count: base - at });
      if (to > base) pieces.push({ kind: 'zero', offset: base, count: to - base });
      at = to;
    };
    tree.walk(offset, end, (from, bytes, address) => {
      hole(from);
      const joined = group !== undefined && this.#join(group, from, bytes, address, segment);
      if (!joined) {
        if (group !== undefined) pieces.push(this.#piece(group));
        group = begin(from, bytes, address, segment(address));
        if (group === undefined)
          pieces.push({ kind: 'data', offset: from, count: bytes, data: this.#damaged(address) });
      }
      at = from + bytes;
    });
    hole(end);
    if (group !== undefined) pieces.push(this.#piece(group));
    return { pieces, release() {} };
  }

  #join(group: Group, offset: number, count: number, address: number, segment: FindSegment): boolean {
    if (segment(address) !== group.segment) return false;
    const position = positionOf(address);
    if (position < group.from || position > group.to + mostGapBytes) return false;
    const to = Math.max(group.to, endGuess(position, offset, count));
    if (to - group.from > mostGroupBytes) return false;
    group.to = to;
    group.count += count;
    group.extents.push(offset, count, position);
    return true;
  }

  #piece(group: Group): Piece {
    return { kind: 'data', offset: group.offset, count: group.count, data: this.#read(group) };
  }

  #read(group: Group): Eventual<Slices> {
    const { segment, from } = group;
    const to = Math.min(group.to, segment.file.size);
    segment.pin();
    let result: Eventual<Slices>;
    try {
      result = chain(segment.file.read(from, to - from), (bytes) => this.#pick(group, bytes));
    } catch (error) {
      segment.unpin();
      return this.#damaged(group.from, segment, error);
    }
    if (!isPromise(result)) {
      segment.unpin();
      return result ?? this.#damaged(group.from, segment);
    }
    return result.then(
      (slices) => {
        segment.unpin();
        return slices ?? this.#damaged(group.from, segment);
      },
      (error: unknown) => {
        segment.unpin();
        return this.#damaged(group.from, segment, error);
      },
    );
  }

  #pick(group: Group, bytes: Uint8Array): Eventual<Slices> {
    const { extents } = group;
    const parts: Eventual<Uint8Array | undefined>[] = [];
    let isReady = true;
    for (let index = 0; index < extents.length; index += 3) {
      const part = this.#extent(group, bytes, extents[index]!, extents[index + 1]!, extents[index + 2]!);
      if (isPromise(part)) isReady = false;
      else if (part === undefined) return undefined;
      parts.push(part);
    }
    if (isReady) return parts as Uint8Array[];
    return Promise.all(parts).then((all) =>
      all.some((part) => part === undefined) ? undefined : (all as Uint8Array[]),
    );
  }

  /** One extent, whose record begins at `position`; `bytes` are those from `group.from` on. */
  #extent(
    group: Group,
    bytes: Uint8Array,
    offset: number,
    count: number,
    position: number,
  ): Eventual<Uint8Array | undefined> {
    const { segment } = group;
    const decoder = this.#decoder;
    const at = position - group.from;
    const found = decoder.decode(bytes, at, segment.number, position);
    if (found === 'bad') return undefined;
    if (found !== 'good') {
      return chain(segment.file.read(position, found), (head) => {
        if (decoder.decode(head, 0, segment.number, position) !== 'good') return undefined;
        return this.#payload(segment, head, 0, offset, count, position);
      });
    }
    const from = offset - decoder.offset;
    if (from < 0 || from + count > decoder.payloadBytes) return undefined;
    const whole = sectorsAround(decoder, from, from + count);
    const start = at + decoder.headBytes;
    if (start + whole.to > bytes.length) return this.#payload(segment, bytes, at, offset, count, position);
    if (!verifies(decoder, bytes, at, bytes, start + whole.from, whole.from, whole.to)) return undefined;
    return bytes.subarray(start + from, start + from + count);
  }

  /** The payload lies beyond what was read; the decoder stands on its record. */
  #payload(
    segment: Segment,
    head: Uint8Array,
    at: number,
    offset: number,
    count: number,
    position: number,
  ): Eventual<Uint8Array | undefined> {
    const decoder = this.#decoder;
    const from = offset - decoder.offset;
    if (from < 0 || from + count > decoder.payloadBytes) return undefined;
    const whole = sectorsAround(decoder, from, from + count);
    const place = position + decoder.headBytes + whole.from;
    return chain(segment.file.read(place, whole.to - whole.from), (bytes) => {
      // Another read may have used the decoder meanwhile.
      if (decoder.decode(head, at, segment.number, position) !== 'good') return undefined;
      if (bytes.length < whole.to - whole.from) return undefined;
      if (!verifies(decoder, head, at, bytes, 0, whole.from, whole.to)) return undefined;
      return bytes.subarray(from - whole.from, from - whole.from + count);
    });
  }

  /** `position`: in the segment; without one, the address of a record whose segment is gone. `from`: why it could not be read. */
  #damaged(position: number, segment?: Segment, from?: unknown): undefined {
    this.damagedReads++;
    const now = this.#options.clock.now();
    if (now - this.#toldAtMs >= 10_000) {
      this.#toldAtMs = now;
      const cause = from === undefined ? undefined : String(from);
      const place = { segment: segment?.number, position, cause };
      this.#options.log.error(place, 'data of the dirty log do not verify: reads of them fail');
    }
    return undefined;
  }
}

function begin(offset: number, count: number, address: number, segment: Segment | undefined): Group | undefined {
  if (segment === undefined) return undefined;
  const from = positionOf(address);
  return { segment, from, to: endGuess(from, offset, count), offset, count, extents: [offset, count, from] };
}

/** Past the bytes of an extent, if its record holds nothing else. */
function endGuess(position: number, offset: number, count: number): number {
  return position + headBytes(sumsFor(offset, count)) + count;
}
