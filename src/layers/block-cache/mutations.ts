/**
 * Our own changes on their way to the origin (write-through), and what they leave in the cache.
 *
 * Invariants: a range is absent from the cache before the WRITE leaves; after the reply, and before it is passed on, no reader
 * can get the old bytes; bytes that overlapped with another write under way are not kept (the cache sees to it: the order of replies
 * is not the order in which the origin did them); each PendingWrite ends exactly once.
 *
 *     beginWrite ──> next.write ──ok──> detach flights, restamp (wcc), complete(data) ──> reply
 *                              └─failed─> detach flights, abandon ──> reply
 */
import type { Clock, Eventual } from '../../base/mod.ts';
import type { CachedFile, PendingWrite } from '../../cache/mod.ts';
import type { Payload, WccData, WriteArguments, WriteReply } from '../../vfs/mod.ts';
import type { OpenFile } from './open-file.ts';
import { stampOf } from './stamp.ts';

export class Mutations {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async write(file: OpenFile, args: WriteArguments, next: () => Eventual<WriteReply>): Promise<WriteReply> {
    const { offset } = args;
    return this.#change(file, offset, offset + args.count, next, (reply, pending) =>
      reply.status === 0 ? pending.complete(args.data, reply.count) : pending.abandon(),
    );
  }

  /** A change of attributes, and of the content from `offset` on (infinity: of none). */
  async change<Reply extends { readonly status: number; readonly wcc: WccData }>(
    file: OpenFile,
    offset: number,
    next: () => Eventual<Reply>,
  ): Promise<Reply> {
    return this.#change(file, offset, Number.POSITIVE_INFINITY, next, (reply, pending) =>
      reply.status === 0 ? pending.complete(nothing, 0) : pending.abandon(),
    );
  }

  async #change<Reply extends { readonly status: number; readonly wcc: WccData }>(
    file: OpenFile,
    offset: number,
    end: number,
    next: () => Eventual<Reply>,
    settle: (reply: Reply, pending: PendingWrite) => Eventual<void>,
  ): Promise<Reply> {
    const mutation = file.beginMutation(offset, end);
    const { cached } = file;
    let pending: PendingWrite | undefined;
    try {
      if (cached !== undefined && end > offset) pending = await cached.beginWrite(offset, end - offset);
      const reply = await next();
      if (cached !== undefined) this.#hop(file, cached, reply.wcc);
      const ending = pending;
      pending = undefined;
      if (ending !== undefined) await settle(reply, ending);
      return reply;
    } finally {
      pending?.abandon();
      file.endMutation(mutation);
    }
  }

  /** The reply says what the file was just before and is just after: if that connects, the version goes on. */
  #hop(file: OpenFile, cached: CachedFile, wcc: WccData): void {
    if (wcc.before === undefined || wcc.after === undefined || file.cached !== cached) return;
    const { fileid } = wcc.after;
    file.lineage.hop(cached, stampOf(wcc.before, fileid), stampOf(wcc.after, fileid), this.#clock.now());
  }
}

const nothing: Payload = [];
