/**
 * The largest file that the origin takes (FSINFO, RFC 1813 3.3.19): what it would refuse later must be refused at once. Asked
 * once, when first needed, and noted in the log: after a restart in an outage nobody could answer.
 */
import { chain, type Eventual, limits } from '../../base/mod.ts';
import type { DirtyLogFace } from '../../dirty/mod.ts';
import type { Call, Filesystem } from '../../vfs/mod.ts';

const note = 'maximum';
/** Every file system takes that much. */
const safeBytes = 2 ** 31 - 1;

export class FileMaximum {
  readonly #next: Filesystem;
  readonly #log: DirtyLogFace;
  #bytes: number | undefined;

  constructor(next: Filesystem, log: DirtyLogFace) {
    this.#next = next;
    this.#log = log;
    const noted = log.noted(note);
    if (noted !== undefined) this.#bytes = Number(Buffer.from(noted).toString());
  }

  allows(call: Call, end: number): Eventual<boolean> {
    if (end <= (this.#bytes ?? safeBytes)) return true;
    if (end > limits.fileBytes) return false;
    if (this.#bytes !== undefined) return false;
    return chain(this.#next.fsinfo(call, { object: this.#next.root }), (reply) => {
      if (reply.status !== 0) return false;
      this.#bytes = Math.min(limits.fileBytes, reply.maximumFileBytes);
      this.#log.note(note, Buffer.from(String(this.#bytes)));
      return end <= this.#bytes;
    });
  }
}
