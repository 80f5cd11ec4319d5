/** READs of the file itself, as it is, for the ranges that nothing else gives. */
import type { ByteRange } from '../../cache/mod.ts';
import type { Attributes, Call, FileHandle, Filesystem } from '../../vfs/mod.ts';
import type { PlainPart } from './pieces.ts';

interface OwnPart extends PlainPart {
  readonly attributes?: Attributes | undefined;
  readonly linkBytes: number;
}

export class PlainRanges {
  /** Some bytes could not be had. */
  isIncomplete = false;
  readonly #next: Filesystem;
  readonly #call: Call;
  readonly #object: FileHandle;
  readonly #parts: OwnPart[] = [];
  readonly #reading: Promise<void>[] = [];
  readonly #releases: (() => void)[] = [];

  constructor(next: Filesystem, call: Call, object: FileHandle) {
    this.#next = next;
    this.#call = call;
    this.#object = object;
  }

  read(ranges: readonly ByteRange[]): void {
    for (const range of ranges) {
      const reading = this.#read(range);
      // Awaited later, after what came before it.
      reading.catch(() => {});
      this.#reading.push(reading);
    }
  }

  async settled(): Promise<readonly OwnPart[]> {
    // All of them, also when one throws: what they were lent is to be released.
    for (const done of await Promise.allSettled(this.#reading)) if (done.status === 'rejected') throw done.reason;
    return this.#parts;
  }

  release(): void {
    for (const release of this.#releases) release();
  }

  async #read({ offset, count }: ByteRange): Promise<void> {
    const end = offset + count;
    for (let at = offset; at < end && !this.isIncomplete; ) {
      const reply = await this.#next.read(this.#call, { object: this.#object, offset: at, count: end - at });
      if (reply.status !== 0) {
        this.isIncomplete = true;
        return;
      }
      if (reply.release !== undefined) this.#releases.push(reply.release);
      const { count, data, attributes, linkBytes = count } = reply;
      this.#parts.push({ offset: at, count, data, attributes, linkBytes });
      at += reply.count;
      if (at < end && (reply.eof || reply.count === 0)) this.isIncomplete = true;
    }
  }
}
