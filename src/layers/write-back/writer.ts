/**
 * WRITE: into the log, or through to the origin.
 *
 *     lease lost: ROFS      conflict: IO      beyond the largest file: FBIG
 *     caller admitted ──> log.write ──> UNSTABLE: answered      FILE_SYNC: answered after the barrier of the commit mode
 *     not admitted, set-id bits to be cleared, no room ──> all that was written before goes to the origin, then this WRITE does (FILE_SYNC)
 *
 * RFC 1813 3.3.7. Every reply carries the log's verifier: nothing that was answered here is lost without its changing.
 */
import { chain, type Eventual, isPromise, limits } from '../../base/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Admission } from './admission.ts';
import type { Barriers } from './barriers.ts';
import type { Changed, Changes } from './changes.ts';
import { isFrozen } from './file-record.ts';
import type { DirtyFile } from './files.ts';
import { FileMaximum } from './maximum.ts';
import { issued, ownChange } from './own-change.ts';
import { type Workings, withheld } from './workings.ts';

const { Status, Stability } = vfs;
const setIdBits = 0o6000;

export class Writer {
  readonly #workings: Workings;
  readonly #admission: Admission;
  readonly #changes: Changes;
  readonly #barriers: Barriers;
  readonly maximum: FileMaximum;

  constructor(workings: Workings, admission: Admission, changes: Changes, barriers: Barriers) {
    this.#workings = workings;
    this.#admission = admission;
    this.#changes = changes;
    this.#barriers = barriers;
    this.maximum = new FileMaximum(workings.next, workings.log);
  }

  write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const { files, next, options } = this.#workings;
    const { object, offset, count } = args;
    const refusal = this.refusal(object);
    if (refusal !== 0) return this.#failed(object, refusal);
    if (offset + count > limits.fileBytes) return this.#failed(object, Status.FBIG);
    const gate = this.#barriers.gate(object);
    if (gate !== undefined) return gate.then(() => this.write(call, args));
    // What is redirected never reaches the origin, whatever it depends on.
    if (args.expected !== undefined && options.mode !== 'redirect') return this.#through(call, args, Status.IO);
    const file = files.find(object);
    const issue = files.tick;
    if (file?.seen !== undefined && files.isBusy(file)) return this.#admit(call, args, issue, file.seen);
    const got = next.getattr(call, { object });
    if (isPromise(got)) return got.then((late) => this.#known(call, args, issue, late));
    return this.#known(call, args, issue, got);
  }

  /** Why the file's content may not be changed by anybody, or 0. */
  refusal(object: vfs.FileHandle): vfs.Failure | 0 {
    const { files, origin, options } = this.#workings;
    if (options.mode === 'write-back' && origin.lease().state === 'lost') return Status.ROFS;
    const file = files.find(object);
    return file !== undefined && isFrozen(file.record) ? Status.IO : 0;
  }

  #known(call: vfs.Call, args: vfs.WriteArguments, issue: number, got: vfs.GetattrReply): Eventual<vfs.WriteReply> {
    if (got.status !== 0) return { status: got.status, wcc: {} };
    return this.#admit(call, args, issue, got.attributes);
  }

  #admit(
    call: vfs.Call,
    args: vfs.WriteArguments,
    issue: number,
    attributes: vfs.Attributes,
  ): Eventual<vfs.WriteReply> {
    const { options } = this.#workings;
    const isRedirect = options.mode === 'redirect';
    if (attributes.type !== vfs.FileType.REGULAR) return this.#pass(call, args);
    // Only the origin can clear them, and somebody may execute the file meanwhile.
    const clearsSetId = (attributes.mode & setIdBits) !== 0 && call.credential.uid !== 0;
    if (clearsSetId && !isRedirect) return this.#through(call, args, Status.IO);
    const verdict = this.#admission.write(call, args.object, attributes);
    return chain(verdict, (decided) => {
      if (typeof decided === 'number') return this.#failed(args.object, decided);
      if (decided === 'denied') {
        return isRedirect ? this.#failed(args.object, Status.ACCES) : this.#through(call, args, Status.IO);
      }
      if (args.count === 0) return this.#pass(call, args);
      return chain(this.maximum.refusal(call, args.offset + args.count), (refusal) =>
        refusal === 0 ? this.#append(call, args, issue, attributes) : this.#failed(args.object, refusal),
      );
    });
  }

  /** All that was asked for is here: from now on in one turn. */
  #append(
    call: vfs.Call,
    args: vfs.WriteArguments,
    issue: number,
    attributes: vfs.Attributes,
  ): Eventual<vfs.WriteReply> {
    const { object } = args;
    if (this.#workings.lifetime.isClosed) return withheld();
    const isLate = this.#barriers.gate(object) !== undefined || this.#changes.isOvertaken(object, issue);
    if (isLate || this.refusal(object) !== 0) return this.write(call, args);
    const file = this.#changes.begin(object, attributes);
    const changed = this.#changes.write(call, file, args);
    return isPromise(changed)
      ? changed.then((late) => this.#appended(call, args, file, late))
      : this.#appended(call, args, file, changed);
  }

  #appended(
    call: vfs.Call,
    args: vfs.WriteArguments,
    file: DirtyFile,
    { status, wcc }: Changed,
  ): Eventual<vfs.WriteReply> {
    const { log, options } = this.#workings;
    const { count } = args;
    if (status === 'no-room') {
      const isRedirect = options.mode === 'redirect';
      return isRedirect ? this.#failed(args.object, Status.NOSPC) : this.#through(call, args, Status.NOSPC);
    }
    if (status !== 0) return this.#failed(args.object, status);
    if (args.stable === Stability.UNSTABLE) {
      return { status: 0, wcc, count, committed: Stability.UNSTABLE, verifier: log.verifier };
    }
    return this.#barriers.commit().then((isStable): vfs.WriteReply => {
      if (!isStable || isFrozen(file.record)) return this.#failed(args.object, Status.IO);
      return { status: 0, wcc, count, committed: Stability.FILE_SYNC, verifier: log.verifier };
    });
  }

  /** `stuck`: the answer if older changes of the file cannot be brought to the origin first. */
  async #through(call: vfs.Call, args: vfs.WriteArguments, stuck: vfs.Failure): Promise<vfs.WriteReply> {
    const stable = { ...args, stable: Stability.FILE_SYNC };
    const reply = await this.#barriers.through(args.object, true, () => this.#pass(call, stable));
    return reply ?? this.#failed(args.object, stuck);
  }

  #pass(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const { next, presented, log } = this.#workings;
    const issue = issued(this.#workings);
    return chain(next.write(call, args), (reply): Eventual<vfs.WriteReply> => {
      const isChange = reply.status === 0 && args.count > 0;
      const shown = isChange
        ? ownChange(this.#workings, call, args.object, issue, reply.wcc)
        : presented.unchanged(args.object, issue.tick, reply.wcc);
      return chain(shown, (wcc) =>
        reply.status === 0 ? { ...reply, wcc, verifier: log.verifier } : { ...reply, wcc },
      );
    });
  }

  #failed(object: vfs.FileHandle, status: vfs.Failure): vfs.WriteReply {
    return { status, wcc: { after: this.#workings.presented.current(object) } };
  }
}
