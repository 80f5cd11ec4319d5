/**
 * Decodes XDR (RFC 4506) from one RPC record that may lie in several chunks, without joining them.
 *
 * Invariants: never reads beyond the record's end; every length is checked against a limit given by the caller and against
 * what is left of the record before anything is allocated; a violation throws `XdrError`, which the RPC server turns into
 * GARBAGE_ARGS and the RPC client into a failed call.
 *
 *     chunks   [........][....................][....]
 *                 ^index/position                   ^remaining() bytes to the end
 */
export class XdrError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'XdrError';
  }
}

export class XdrReader {
  #chunks: readonly Buffer[];
  #index = 0;
  #chunk: Buffer;
  #position = 0;
  #remaining: number;

  constructor(chunks: readonly Buffer[]) {
    this.#chunks = chunks;
    this.#chunk = chunks[0] ?? emptyBuffer;
    let total = 0;
    for (let i = 0; i < chunks.length; i++) total += chunks[i]!.length;
    this.#remaining = total;
  }

  /** Bytes left in the record. */
  remaining(): number {
    return this.#remaining;
  }

  /** Throws unless the whole record has been decoded. */
  end(): void {
    if (this.#remaining !== 0) throw new XdrError(`${this.#remaining} bytes left behind the last field`);
  }

  uint32(): number {
    const position = this.#position;
    if (position + 4 <= this.#chunk.length) {
      this.#position = position + 4;
      this.#remaining -= 4;
      return this.#chunk.readUInt32BE(position);
    }
    return this.#straddled(4).readUInt32BE(0);
  }

  int32(): number {
    return this.uint32() | 0;
  }

  bool(): boolean {
    const value = this.uint32();
    if (value > 1) throw new XdrError(`boolean is ${value}`);
    return value === 1;
  }

  /** One of 0 .. `maximum` or, with `minimum`, `minimum` .. `maximum`. */
  enumeration(maximum: number, minimum = 0): number {
    const value = this.uint32();
    if (value > maximum || value < minimum) throw new XdrError(`enumeration is ${value}`);
    return value;
  }

  /** An unsigned 64-bit count or offset as a double: exact up to 2^53 - 1, and some larger number beyond it. */
  size64(): number {
    const high = this.uint32();
    const low = this.uint32();
    return high * 0x1_0000_0000 + low;
  }

  uint64(): bigint {
    const high = this.uint32();
    const low = this.uint32();
    return (BigInt(high) << 32n) | BigInt(low);
  }

  /** Variable-length opaque as a binary string: one character for each byte (latin1). */
  binaryString(maximumBytes: number): string {
    const length = this.#length(maximumBytes);
    return this.fixedBinaryString(length);
  }

  fixedBinaryString(length: number): string {
    const padded = (length + 3) & ~3;
    const position = this.#position;
    if (position + padded <= this.#chunk.length) {
      this.#position = position + padded;
      this.#remaining -= padded;
      return this.#chunk.toString('latin1', position, position + length);
    }
    return this.#straddled(padded).toString('latin1', 0, length);
  }

  /** Variable-length opaque, copied out. */
  opaque(maximumBytes: number): Buffer {
    const length = this.#length(maximumBytes);
    const padded = (length + 3) & ~3;
    return Buffer.from(this.#straddled(padded).subarray(0, length));
  }

  /** Variable-length opaque as views of the record's chunks: nothing is copied, and the chunks live as long as the views. */
  slices(maximumBytes: number): Buffer[] {
    const length = this.#length(maximumBytes);
    const slices = this.#take(length);
    const padding = ((length + 3) & ~3) - length;
    if (padding > 0) this.#straddled(padding);
    return slices;
  }

  /** Everything that is left, as views. */
  rest(): Buffer[] {
    return this.#take(this.#remaining);
  }

  #length(maximumBytes: number): number {
    const length = this.uint32();
    if (length > maximumBytes) throw new XdrError(`length ${length} exceeds ${maximumBytes}`);
    if (length > this.#remaining) throw new XdrError(`length ${length} exceeds the record (${this.#remaining} left)`);
    return length;
  }

  #take(length: number): Buffer[] {
    const slices: Buffer[] = [];
    let left = length;
    while (left > 0) {
      const available = this.#chunk.length - this.#position;
      if (available === 0) {
        this.#advance();
        continue;
      }
      const step = Math.min(available, left);
      slices.push(this.#chunk.subarray(this.#position, this.#position + step));
      this.#position += step;
      left -= step;
    }
    this.#remaining -= length;
    return slices;
  }

  /** `length` bytes that may cross chunks, as one buffer. */
  #straddled(length: number): Buffer {
    if (length > this.#remaining) throw new XdrError(`record ends ${length - this.#remaining} bytes early`);
    const slices = this.#take(length);
    return slices.length === 1 ? slices[0]! : Buffer.concat(slices, length);
  }

  #advance(): void {
    this.#index++;
    const next = this.#chunks[this.#index];
    if (next === undefined) throw new XdrError('record ends early');
    this.#chunk = next;
    this.#position = 0;
  }
}

const emptyBuffer = Buffer.alloc(0);
