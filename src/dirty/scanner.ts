/** Goes through the records of one segment in order, reading as little as it can in pieces that are worth a read. */
import type { Eventual } from '../base/mod.ts';
import type { LogFile } from './contract.ts';
import { align } from './format.ts';
import { RecordDecoder, recordHeaderBytes, verifies } from './record.ts';

const windowBytes = 64 * 1024;

export class SegmentScanner {
  readonly header: RecordDecoder;
  readonly #file: LogFile;
  readonly #segment: number;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;
  /** Of the record that `next` found. */
  position: number;
  #after: number;

  constructor(file: LogFile, segment: number, seed: number, from: number) {
    this.#file = file;
    this.#segment = segment;
    this.header = new RecordDecoder(seed);
    this.position = from;
    this.#after = from;
  }

  /** Where the record after this one begins. */
  get after(): number {
    return this.#after;
  }

  /** Finds the record at `after`: false if none is there, whole up to `limit`. */
  async next(limit: number): Promise<boolean> {
    this.position = this.#after;
    if (!(await this.head(this.position, limit))) return false;
    const end = this.position + this.header.headBytes + this.header.payloadBytes;
    if (end > limit) return false;
    this.#after = Math.min(align(end), limit);
    return true;
  }

  /** Whether a record's head is at `position`. */
  async head(position: number, limit: number): Promise<boolean> {
    let needed = recordHeaderBytes;
    for (;;) {
      if (position + needed > limit) return false;
      const read = this.#need(position, needed, limit);
      if (read !== undefined) await read;
      const found = this.header.decode(this.#window, position - this.#windowStart, this.#segment, position);
      if (found === 'good') return true;
      if (found === 'bad' || found <= needed) return false;
      needed = found;
    }
  }

  /** The payload of the record that was found, or undefined if it does not verify. */
  async payload(): Promise<Uint8Array | undefined> {
    const { header, position } = this;
    const whole = header.headBytes + header.payloadBytes;
    const read = this.#need(position, whole, position + whole);
    if (read !== undefined) await read;
    const at = position - this.#windowStart;
    if (at + whole > this.#window.length) return undefined;
    const start = at + header.headBytes;
    if (!verifies(header, this.#window, at, this.#window, start, 0, header.payloadBytes)) return undefined;
    return this.#window.subarray(start, start + header.payloadBytes);
  }

  /** Bytes of the segment, for whoever looks for records between damage. */
  async bytes(position: number, count: number, limit: number): Promise<Uint8Array> {
    const read = this.#need(position, Math.min(count, limit - position), limit);
    if (read !== undefined) await read;
    return this.#window.subarray(position - this.#windowStart);
  }

  #need(position: number, count: number, limit: number): Promise<void> | undefined {
    const from = position - this.#windowStart;
    if (from >= 0 && from + count <= this.#window.length) return undefined;
    const length = Math.min(Math.max(windowBytes, count), limit - position);
    return this.#fill(position, this.#file.read(position, length));
  }

  async #fill(position: number, bytes: Eventual<Uint8Array>): Promise<void> {
    this.#window = await bytes;
    this.#windowStart = position;
  }
}
