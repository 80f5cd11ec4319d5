/**
 * Record marking (RFC 5531 11): cuts the byte stream of one connection into records, without joining payload.
 *
 *     stream   | last:1 length:31 | fragment ... | last:1 length:31 | fragment ... |
 *     chunks   [...........][..............][.][.........................][........]   as the socket gave them
 *     record   a list of views of the chunks; the marks are cut out
 *
 *     between records --mark complete--> in a fragment --last byte, last=0--> awaiting the next mark
 *            ^                                |                                       |
 *            +---------last byte, last=1------+<--------------mark complete-----------+
 *
 * Invariants: a record is never longer than `maximumBytes` and has at most `maximumFragments` fragments, checked at the mark,
 * before anything is kept; after a violation no more records come out. Parts below `joinBelowBytes` are copied together, so
 * that a peer that sends single bytes costs one byte each and not a Buffer each.
 */
export const lastFragment = 0x8000_0000;

const joinBelowBytes = 512;
const joinBytes = 4096;

export class RecordAssembler {
  /** Why the stream cannot be understood any more, once it cannot. */
  violation: string | undefined;

  readonly #maximumBytes: number;
  readonly #maximumFragments: number;
  /** Chunks not looked at yet, behind `#chunk`. */
  #input: Buffer[] = [];
  #inputIndex = 0;
  #chunk: Buffer = emptyBuffer;
  #position = 0;
  #mark = 0;
  #markBytes = 0;
  #inFragment = false;
  #fragmentLeft = 0;
  #last = false;
  #fragments = 0;
  #recordBytes = 0;
  #parts: Buffer[] = [];
  /** The buffer in which small parts are joined, and the place in it of the part that may still grow. */
  #join: Buffer | undefined;
  #joinStart = 0;
  #joinEnd = 0;

  constructor(maximumBytes: number, maximumFragments: number) {
    this.#maximumBytes = maximumBytes;
    this.#maximumFragments = maximumFragments;
  }

  push(chunk: Buffer): void {
    if (this.#position === this.#chunk.length && this.#inputIndex === this.#input.length) {
      this.#chunk = chunk;
      this.#position = 0;
    } else {
      this.#input.push(chunk);
    }
  }

  /** Whether a record has begun and not ended. */
  partial(): boolean {
    return this.#inFragment || this.#markBytes > 0 || this.#fragments > 0;
  }

  /** The next whole record, or undefined if more bytes are needed (or after a violation). */
  next(): Buffer[] | undefined {
    while (this.violation === undefined) {
      if (!this.#inFragment && !this.#readMark()) return undefined;
      if (!this.#readFragment()) return undefined;
      this.#inFragment = false;
      if (this.#last) return this.#finish();
    }
    return undefined;
  }

  /** Reads the rest of a mark; false if it is not all there, or if it breaks a limit. */
  #readMark(): boolean {
    if (this.#markBytes === 0 && this.#chunk.length - this.#position >= 4) {
      this.#mark = this.#chunk.readUInt32BE(this.#position);
      this.#position += 4;
    } else {
      while (this.#markBytes < 4) {
        if (this.#position === this.#chunk.length) {
          if (!this.#advance()) return false;
          continue;
        }
        this.#mark = ((this.#mark << 8) | this.#chunk[this.#position]!) >>> 0;
        this.#position++;
        this.#markBytes++;
      }
      this.#markBytes = 0;
    }
    this.#last = this.#mark >= lastFragment;
    this.#fragmentLeft = this.#last ? this.#mark - lastFragment : this.#mark;
    this.#mark = 0;
    this.#fragments++;
    if (this.#fragments > this.#maximumFragments) {
      return this.#violate(`a record of more than ${this.#maximumFragments} fragments`);
    }
    if (this.#recordBytes + this.#fragmentLeft > this.#maximumBytes) {
      return this.#violate(`a record of ${this.#recordBytes + this.#fragmentLeft} bytes, above ${this.#maximumBytes}`);
    }
    this.#inFragment = true;
    return true;
  }

  #readFragment(): boolean {
    while (this.#fragmentLeft > 0) {
      const available = this.#chunk.length - this.#position;
      if (available === 0) {
        if (!this.#advance()) return false;
        continue;
      }
      const size = Math.min(available, this.#fragmentLeft);
      const whole = this.#last && this.#recordBytes === 0 && size === this.#fragmentLeft;
      if (whole || size >= joinBelowBytes) {
        this.#parts.push(this.#chunk.subarray(this.#position, this.#position + size));
        this.#joinStart = this.#joinEnd;
      } else {
        this.#joinPart(size);
      }
      this.#position += size;
      this.#fragmentLeft -= size;
      this.#recordBytes += size;
    }
    return true;
  }

  #joinPart(size: number): void {
    if (this.#join === undefined || this.#joinEnd + size > joinBytes) {
      this.#join = Buffer.allocUnsafeSlow(joinBytes);
      this.#joinStart = 0;
      this.#joinEnd = 0;
    }
    this.#chunk.copy(this.#join, this.#joinEnd, this.#position, this.#position + size);
    const grows = this.#joinEnd > this.#joinStart;
    this.#joinEnd += size;
    const part = this.#join.subarray(this.#joinStart, this.#joinEnd);
    if (grows) this.#parts[this.#parts.length - 1] = part;
    else this.#parts.push(part);
  }

  #finish(): Buffer[] {
    const parts = this.#parts;
    this.#parts = [];
    this.#recordBytes = 0;
    this.#fragments = 0;
    this.#joinStart = this.#joinEnd;
    return parts;
  }

  /** Goes to the next chunk; false if there is none. */
  #advance(): boolean {
    if (this.#inputIndex === this.#input.length) {
      this.#chunk = emptyBuffer;
      this.#position = 0;
      return false;
    }
    this.#chunk = this.#input[this.#inputIndex]!;
    this.#position = 0;
    this.#inputIndex++;
    if (this.#inputIndex === this.#input.length) {
      this.#input = [];
      this.#inputIndex = 0;
    }
    return true;
  }

  #violate(reason: string): false {
    this.violation = reason;
    this.#parts = [];
    this.#input = [];
    this.#inputIndex = 0;
    this.#chunk = emptyBuffer;
    this.#position = 0;
    return false;
  }
}

const emptyBuffer = Buffer.alloc(0);
