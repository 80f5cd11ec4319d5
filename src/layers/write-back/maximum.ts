/**
 * The largest file that the origin takes (FSINFO, RFC 1813 3.3.19): what it would refuse later must be refused at once. Asked
 * once, when first needed, and noted in the log: after a restart in an outage nobody could answer.
 */
import { chain, type Eventual, limits } from '../../base/mod.ts';
import type { DirtyLogFace } from '../../dirty/mod.ts';
import { type Call, type Failure, type Filesystem, Status } from '../../vfs/mod.ts';

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

  /** Why a file may not reach to `end`, or 0. FBIG is for good: it is never said because the origin could not be asked. */
  refusal(call: Call, end: number): Eventual<Failure | 0> {
    if (end <= (this.#bytes ?? safeBytes)) return 0;
    if (end > limits.fileBytes || this.#bytes !== undefined) return Status.FBIG;
    return chain(this.#next.fsinfo(call, { object: this.#next.root }), (reply) => {
      if (reply.status !== 0) return reply.status;
      this.#bytes = Math.min(limits.fileBytes, reply.maximumFileBytes);
      this.#log.note(note, Buffer.from(String(this.#bytes)));
      return end <= this.#bytes ? 0 : Status.FBIG;
    });
  }
}
