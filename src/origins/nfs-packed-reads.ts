/**
 * READs over a slow link, sent as READ_VECTOR: compressed on the way, zeros left out, small ones that are asked for together in one call.
 * Nobody above sees a difference, so every layer's rules for READ hold: it is below all of them.
 *
 *     read ──fast link, file does not pack, small and alone──> READ
 *       └──> [ wishes of one turn, by file and caller ] ──> READ_VECTOR ──refused, cut short, damaged──> READ
 *
 * Whether the link is slow is measured by what arrives (link-rate.ts). Packed replies alone would never show that it became
 * fast, so now and then some data is read as it is. Whether a file packs is seen by its replies: else it is read as it is for a while.
 *
 * Invariants: one READ in, one reply out, of one version of the file or without attributes; a server that refuses, or stops to offer
 * it, costs a round trip; memory is bounded.
 */
import { type Clock, type Eventual, isPromise, limits } from '../base/mod.ts';
import {
  type Call,
  type FileHandle,
  type Filesystem,
  type RangeReply,
  type ReadArguments,
  type ReadReply,
  Urgency,
} from '../vfs/mod.ts';
import { LinkRate, type RateMark } from './link-rate.ts';
import type { VectorCaller } from './nfs-channel-data.ts';

export interface PackedReadsOptions {
  /** Plain READs. */
  readonly next: Pick<Filesystem, 'read'>;
  readonly data: VectorCaller;
  readonly clock: Clock;
  /** Bytes that came from the server so far. */
  readonly receivedBytes: () => number;
  readonly readMaximum: number;
}

export interface PackedReadsStats {
  /** READ_VECTORs, the READs that they stand for, those READs' payload, and what crossed for it. */
  readonly packedReadCalls: number;
  readonly packedReads: number;
  readonly packedReadBytes: number;
  readonly packedReadWireBytes: number;
  /** READs that had to be sent as they are after all. */
  readonly packedReadFailures: number;
}

/** Below it a READ is as good: it fits a few packets. */
const smallestBytes = 8 * 1024;
/** Up to this, READs of one turn go together; and so much goes together at most, that none waits long for the others. */
const smallBytes = 32 * 1024;
const mostTogether = 256 * 1024;
/** So much of a file is looked at before it is judged; it packs if at least an eighth is saved. */
const judgedBytes = 512 * 1024;
const worthwhileShare = 7 / 8;
const restMs = 30_000;
const mostFiles = 1024;
/** After so much packed data, growing fourfold, `probeBytes` are read as they are. */
const firstProbeEvery = 8 * 1024 * 1024;
const lastProbeEvery = 256 * 1024 * 1024;
const probeBytes = 512 * 1024;
/** Of a reply and of each of its results. */
const replyHeadBytes = 200;
const resultBytes = 12;

/** How well a file packs. */
interface Habit {
  payload: number;
  stored: number;
  restUntilMs: number;
}

interface Wish {
  readonly call: Call;
  readonly args: ReadArguments;
  readonly resolve: (reply: ReadReply | Promise<ReadReply>) => void;
  readonly reject: (error: unknown) => void;
}

export class PackedReads {
  readonly #options: PackedReadsOptions;
  readonly #rate = new LinkRate();
  readonly #habits = new Map<FileHandle, Habit>();
  #wishes: Wish[] = [];
  #sinceProbe = 0;
  #probeEvery = firstProbeEvery;
  #probeLeft = 0;
  readonly #counts = {
    packedReadCalls: 0,
    packedReads: 0,
    packedReadBytes: 0,
    packedReadWireBytes: 0,
    packedReadFailures: 0,
  };

  constructor(options: PackedReadsOptions) {
    this.#options = options;
  }

  stats(): PackedReadsStats {
    return this.#counts;
  }

  read(call: Call, args: ReadArguments): Eventual<ReadReply> {
    const { data, next, readMaximum } = this.#options;
    if (!data.canReadVectors()) return next.read(call, args);
    const count = Math.min(args.count, readMaximum, data.vectorBytes);
    if (count === 0 || args.offset + count > limits.fileBytes) return next.read(call, args);
    if (!this.#packs(args.object, count)) return this.#readPlain(call, args);
    const { object, offset } = args;
    return new Promise((resolve, reject) => {
      if (this.#wishes.length === 0) queueMicrotask(() => this.#send());
      this.#wishes.push({ call, args: { object, offset, count }, resolve, reject });
    });
  }

  #packs(object: FileHandle, count: number): boolean {
    const { bytesPerSecond } = this.#rate;
    if (bytesPerSecond === undefined || bytesPerSecond >= limits.packedReadBytesPerSecond) return false;
    const habit = this.#habits.get(object);
    if (habit !== undefined && this.#options.clock.now() < habit.restUntilMs) return false;
    if (this.#probeLeft <= 0 || count < smallestBytes) return true;
    this.#probeLeft -= count;
    return false;
  }

  #readPlain(call: Call, args: ReadArguments): Eventual<ReadReply> {
    const mark = this.#begin();
    const reply = this.#options.next.read(call, args);
    if (!isPromise(reply)) return reply;
    return reply.then((late) => {
      this.#end(mark);
      return late;
    });
  }

  #send(): void {
    const wishes = this.#wishes;
    this.#wishes = [];
    for (const group of groupsOf(wishes, this.#options.data.vectorRanges)) {
      const [only] = group;
      if (group.length === 1 && only!.args.count < smallestBytes) this.#pass(only!);
      else void this.#readTogether(group);
    }
  }

  #pass({ call, args, resolve, reject }: Wish): void {
    try {
      const reply = this.#readPlain(call, args);
      if (isPromise(reply)) reply.catch(() => {});
      resolve(reply as ReadReply | Promise<ReadReply>);
    } catch (error) {
      reject(error);
    }
  }

  async #readTogether(wishes: readonly Wish[]): Promise<void> {
    const { object } = wishes[0]!.args;
    // As urgent as the most urgent of them, also one that somebody comes to wait for.
    const urgency = new Urgency();
    for (const wish of wishes) wish.call.urgency?.raises(urgency);
    const call = { ...wishes[0]!.call, urgency };
    const ranges = wishes.map(({ args: { offset, count } }) => ({ offset, count }));
    const mark = this.#begin();
    try {
      const { reply, storedBytes } = await this.#options.data.readVectorMeasured(call, { object, ranges });
      this.#end(mark);
      if (reply.status !== 0) {
        this.#counts.packedReadFailures += wishes.length;
        this.#habit(object).restUntilMs = this.#options.clock.now() + restMs;
        for (const wish of wishes) this.#pass(wish);
        return;
      }
      const payload = reply.results.reduce((sum, result) => sum + (result.status === 0 ? result.count : 0), 0);
      this.#count(object, wishes.length, payload, storedBytes);
      const share = (storedBytes + replyHeadBytes) / Math.max(payload, 1);
      for (const [i, wish] of wishes.entries()) {
        const result = reply.results[i];
        if (result === undefined) this.#pass(wish);
        else wish.resolve(replyOf(result, reply.attributes, share));
      }
    } catch (error) {
      for (const wish of wishes) wish.reject(error);
    }
  }

  #count(object: FileHandle, reads: number, payload: number, stored: number): void {
    this.#counts.packedReadCalls++;
    this.#counts.packedReads += reads;
    this.#counts.packedReadBytes += payload;
    this.#counts.packedReadWireBytes += stored + replyHeadBytes + reads * resultBytes;
    this.#sinceProbe += payload;
    if (this.#sinceProbe >= this.#probeEvery) {
      this.#sinceProbe = 0;
      this.#probeEvery = Math.min(4 * this.#probeEvery, lastProbeEvery);
      this.#probeLeft = probeBytes;
    }
    const habit = this.#habit(object);
    habit.payload += payload;
    habit.stored += stored;
    if (habit.payload < judgedBytes) return;
    if (habit.stored > worthwhileShare * habit.payload) habit.restUntilMs = this.#options.clock.now() + restMs;
    habit.payload = 0;
    habit.stored = 0;
  }

  #habit(object: FileHandle): Habit {
    const known = this.#habits.get(object);
    if (known !== undefined) return known;
    const [oldest] = this.#habits.keys();
    if (this.#habits.size >= mostFiles && oldest !== undefined) this.#habits.delete(oldest);
    const habit: Habit = { payload: 0, stored: 0, restUntilMs: 0 };
    this.#habits.set(object, habit);
    return habit;
  }

  #begin(): RateMark {
    const { clock, receivedBytes } = this.#options;
    return this.#rate.begin(clock.now(), receivedBytes());
  }

  #end(mark: RateMark): void {
    const { clock, receivedBytes } = this.#options;
    this.#rate.end(mark, clock.now(), receivedBytes());
  }
}

/** In the order in which they came; what is large goes alone. */
function groupsOf(wishes: readonly Wish[], mostRanges: number): Wish[][] {
  const groups: { readonly wishes: Wish[]; bytes: number }[] = [];
  for (const wish of wishes) {
    const { count, object } = wish.args;
    const { credential, priority, fencing } = wish.call;
    const fits = (group: { readonly wishes: Wish[]; readonly bytes: number }): boolean => {
      const { call, args } = group.wishes[0]!;
      if (args.object !== object || call.credential.key !== credential.key || call.priority !== priority) return false;
      if (call.fencing !== fencing) return false;
      return group.wishes.length < mostRanges && group.bytes + count <= mostTogether && args.count <= smallBytes;
    };
    const group = count <= smallBytes ? groups.findLast(fits) : undefined;
    if (group === undefined) groups.push({ wishes: [wish], bytes: count });
    else {
      group.wishes.push(wish);
      group.bytes += count;
    }
  }
  return groups.map((group) => group.wishes);
}

function replyOf(result: RangeReply, attributes: ReadReply['attributes'], share: number): ReadReply {
  if (result.status !== 0) return { status: result.status };
  const { count, data, eof } = result;
  return { status: 0, attributes, data, count, eof, linkBytes: Math.min(count, Math.ceil(share * count)) };
}
