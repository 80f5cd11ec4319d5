/**
 * The copy of a conflict at the origin: a new file beside the file, written through the same gate as everything else.
 *
 * CREATE is guarded. A file of that name is taken for an earlier attempt of ours if that was noted (`isClaimed`) or if it is empty, so
 * that nothing of others is ever overwritten.
 */
import * as vfs from '../../vfs/mod.ts';
import { callAs } from './drain-origin.ts';
import type { DrainParts } from './drain-parts.ts';

const { Stability, Status } = vfs;

/** Each answers what went wrong, if anything did. */
export interface ConflictTarget {
  /** Empties it and makes it so long. */
  begin(size: number): Promise<string | undefined>;
  write(offset: number, count: number, data: vfs.Payload): Promise<string | undefined>;
  /** All of it is durable afterwards, with the list of ranges beside it if there is one. */
  end(ranges: Uint8Array | undefined): Promise<string | undefined>;
}

type Who = vfs.Credential | { readonly uid: number; readonly gid: number };

/** Our version is for its owner to look at. */
const mode = 0o600;

/** `taken`: somebody else has a file of that name. Other strings say what the origin refused. */
export async function openOriginCopy(
  parts: DrainParts,
  place: vfs.Place,
  isClaimed: boolean,
  who: Who,
): Promise<ConflictTarget | string> {
  const call = callAs('key' in who ? who : vfs.credential(who.uid, who.gid));
  const object = await createOrFind(parts, call, place, isClaimed);
  return typeof object === 'string' ? object : new OriginCopy(parts, call, place, object.handle, isClaimed);
}

async function createOrFind(
  { context, origin }: DrainParts,
  call: vfs.Call,
  where: vfs.Place,
  isClaimed: boolean,
): Promise<{ readonly handle: vfs.FileHandle } | string> {
  const how = { mode: 'guarded', set: { mode } } as const;
  const made = await origin.ask(() => context.next.create(call, { where, how }));
  if (made.status === 0 && made.object !== undefined) return { handle: made.object };
  if (made.status !== 0 && made.status !== Status.EXIST) return `CREATE answers ${vfs.statusName(made.status)}`;
  const found = await origin.ask(() => context.origin.fresh.lookup(call, where));
  if (found.status !== 0) return `LOOKUP answers ${vfs.statusName(found.status)}`;
  const { object } = found;
  if (isClaimed) return { handle: object };
  const reply = await origin.ask(() => context.origin.fresh.getattr(call, { object }));
  return reply.status === 0 && reply.attributes.size === 0 ? { handle: object } : 'taken';
}

class OriginCopy implements ConflictTarget {
  readonly #parts: DrainParts;
  readonly #call: vfs.Call;
  readonly #place: vfs.Place;
  readonly #object: vfs.FileHandle;
  readonly #isClaimed: boolean;

  constructor(parts: DrainParts, call: vfs.Call, place: vfs.Place, object: vfs.FileHandle, isClaimed: boolean) {
    this.#parts = parts;
    this.#call = call;
    this.#place = place;
    this.#object = object;
    this.#isClaimed = isClaimed;
  }

  async begin(size: number): Promise<string | undefined> {
    // What an earlier attempt wrote may have been overwritten here since.
    for (const target of new Set([0, size])) {
      const { context, origin } = this.#parts;
      const set = { object: this.#object, set: { size: target } };
      const { status } = await origin.ask(() => context.next.setattr(this.#call, set));
      if (status !== 0) return vfs.statusName(status);
    }
    return undefined;
  }

  async write(offset: number, count: number, data: vfs.Payload): Promise<string | undefined> {
    const underWay: Promise<number>[] = [];
    const bytes = data.length === 1 ? data[0]! : Buffer.concat(data, count);
    for (let from = 0; from < count; ) {
      const part = Math.min(this.#parts.gate.requestBytes, this.#parts.writeMaximum, count - from);
      const entering = this.#parts.gate.enter(part);
      if (entering instanceof Promise) await entering;
      underWay.push(this.#send(offset + from, bytes.subarray(from, from + part)));
      from += part;
    }
    const refused = (await Promise.all(underWay)).find((status) => status !== 0);
    return refused === undefined ? undefined : vfs.statusName(refused);
  }

  async end(ranges: Uint8Array | undefined): Promise<string | undefined> {
    const { context, origin } = this.#parts;
    const commit = { object: this.#object, offset: 0, count: 0 };
    const { status } = await origin.ask(() => context.next.commit(this.#call, commit));
    if (status !== 0) return vfs.statusName(status);
    if (ranges === undefined) return undefined;
    const { directory, name } = this.#place;
    const list = { directory, name: `${name}.ranges` };
    const object = await createOrFind(this.#parts, this.#call, list, this.#isClaimed);
    if (typeof object === 'string') return object;
    const copy = new OriginCopy(this.#parts, this.#call, list, object.handle, this.#isClaimed);
    return (await copy.begin(0)) ?? (await copy.write(0, ranges.length, [ranges])) ?? (await copy.end(undefined));
  }

  /** The part has entered the gate. */
  async #send(offset: number, bytes: Uint8Array): Promise<number> {
    const { gate, context, origin, logger } = this.#parts;
    const mark = gate.sent(bytes.length);
    try {
      for (let from = 0; from < bytes.length; ) {
        if (this.#parts.isStopped()) return Status.IO;
        const data = bytes.subarray(from);
        const reply = await origin.ask(() =>
          context.next.write(this.#call, {
            object: this.#object,
            offset: offset + from,
            count: data.length,
            stable: Stability.UNSTABLE,
            data: [data],
          }),
        );
        if (reply.status !== 0) return reply.status;
        if (reply.count === 0) return Status.IO;
        from += reply.count;
      }
      return 0;
    } catch (error) {
      // The session is being closed; or a bug, which is not to look like the origin's refusal.
      if (!this.#parts.isStopped()) logger.error({ error: String(error) }, 'a conflict could not be copied');
      return Status.IO;
    } finally {
      gate.answered(mark);
    }
  }
}
