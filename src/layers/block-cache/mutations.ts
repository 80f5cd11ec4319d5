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

import { type Clock, type Eventual, limits } from '../../base/mod.ts';
import type { CachedFile, PendingWrite } from '../../cache/mod.ts';
import {
  type Payload,
  stampOf,
  stampOfAttributes,
  type WccData,
  type WriteArguments,
  type WriteReply,
} from '../../vfs/mod.ts';
import type { OpenFile } from './open-file.ts';

export class Mutations {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async write(file: OpenFile, args: WriteArguments, next: () => Eventual<WriteReply>): Promise<WriteReply> {
    const { offset } = args;
    return this.#change(file, offset, offset + args.count, next, (reply, pending, place) =>
      reply.status === 0 ? pending.complete(args.data, keepable(offset, reply.count, place)) : pending.abandon(),
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
    settle: (reply: Reply, pending: PendingWrite, place: Place) => Eventual<void>,
  ): Promise<Reply> {
    const mutation = file.beginMutation(offset, end);
    const { cached } = file;
    let pending: PendingWrite | undefined;
    try {
      if (cached !== undefined && end > offset) pending = await cached.beginWrite(offset, end - offset);
      const reply = await next();
      const place = cached === undefined ? 'unknown' : this.#hop(file, cached, reply.wcc);
      const ending = pending;
      pending = undefined;
      if (ending !== undefined) await settle(reply, ending, place);
      return reply;
    } finally {
      pending?.abandon();
      file.endMutation(mutation);
    }
  }

  /** The reply says what the file was just before and is just after: if that connects, the version goes on. */
  #hop(file: OpenFile, cached: CachedFile, wcc: WccData): Place {
    if (wcc.after === undefined || file.cached !== cached) return 'unknown';
    if (wcc.before === undefined) {
      if (!file.isOurs) return 'unknown';
      return file.changed(cached, stampOfAttributes(wcc.after)) ? 'reached' : 'ahead';
    }
    const { fileid } = wcc.after;
    const now = this.#clock.now();
    const isReached = file.lineage.hop(cached, stampOf(wcc.before, fileid), stampOf(wcc.after, fileid), now);
    return isReached ? 'reached' : 'ahead';
  }
}

/** Where a change lies on the cached version's way: behind it, still before it, or nobody knows. */
type Place = 'reached' | 'ahead' | 'unknown';

/**
 * How many of the bytes that the origin took may be kept. While the version is behind, its size may be too: the end of the
 * write must not be taken for the end of the file, so only whole sectors count.
 */
function keepable(offset: number, count: number, place: Place): number {
  if (place === 'reached') return count;
  if (place === 'unknown') return 0;
  const end = offset + count;
  return Math.max(0, end - (end % limits.sectorBytes) - offset);
}

const nothing: Payload = [];
