/**
 * What the origin has already of the data that is to be written: asked by digests, a batch at a time, ahead of the WRITEs.
 *
 *     a file's bytes of the epoch   |-- handed out --|-- answered --|-- asked --|-- asked --|-- not yet ... --|
 *                                                    ^ waits for an answer, not for long
 *
 * Invariants: nothing here changes what is written or in which order, only how it is sent; an answer that is late, wrong or lost costs
 * time only; the epoch is not read after `settle`.
 */
import { type Clock, limits } from '../../base/mod.ts';
import { digestOf, isZero } from '../../content/mod.ts';
import type { EpochPlan, FilePlan } from '../../dirty/mod.ts';
import type { HaveReply } from '../../vfs/mod.ts';
import { cut } from '../block-cache/slices.ts';
import type { KnownPolicy } from './drain-known-policy.ts';
import type { Caller } from './drain-origin.ts';
import { bytesOf, type DrainParts } from './drain-parts.ts';

const { sectorBytes } = limits;
/** Less of a file in one epoch is sent as it is: a round trip costs more. */
const smallestFileBytes = 1024 * 1024;
const batchBytes = 1024 * 1024;
const viewBytes = 256 * 1024;
/** The server may look for half a second where it lies; whoever is answered late is not asked soon again. */
const patienceMs = 750;
/** Fewer sectors that follow each other cost a call of their own, and save a few packets. */
const smallestRun = 4;
const largestRun = 64;

/** How to send the next bytes: those with digests are at the origin. */
export interface Cut {
  readonly count: number;
  readonly digests?: readonly Uint8Array[] | undefined;
}

interface Batch {
  readonly begin: number;
  readonly end: number;
  isDone: boolean;
  readonly done: Promise<void>;
  /** The epoch is not read any more. */
  readonly digested: Promise<void>;
}

interface Sector {
  readonly offset: number;
  readonly digest: Uint8Array;
}

interface KnownAheadOptions {
  readonly policy: KnownPolicy;
  readonly clock: Clock;
  readonly epoch: EpochPlan;
  readonly plan: FilePlan;
  /** Rejects only when the session is being closed. */
  readonly ask: (digests: readonly Uint8Array[], writer: number) => Promise<HaveReply>;
}

/** Of one file of one epoch. */
export class KnownAhead {
  readonly #options: KnownAheadOptions;
  readonly #totalBytes: number;
  /** The digests of what the origin has and was not handed out yet, by offset in the file. */
  readonly #found = new Map<number, Uint8Array>();
  #batches: Batch[] = [];
  #askedTo = 0;
  #round = 0;

  /** Undefined: nobody can be asked. */
  static of(
    { known: policy, clock, context }: DrainParts,
    epoch: EpochPlan,
    plan: FilePlan,
    caller: Caller,
  ): KnownAhead | undefined {
    if (policy === undefined) return undefined;
    const { files, next } = context;
    const ask = (digests: readonly Uint8Array[], writer: number): Promise<HaveReply> => {
      const near = files.byNumber(plan.file)?.place?.directory ?? next.root;
      return caller.ask(files.credentialOf(writer), (call) => policy.chunks.have(call, { near, digests }));
    };
    return new KnownAhead({ policy, clock, epoch, plan, ask });
  }

  private constructor(options: KnownAheadOptions) {
    this.#options = options;
    this.#totalBytes = options.plan.extents.reduce((sum, extent) => sum + extent.count, 0);
  }

  /** Before bytes at this place (counted over all extents) are handed out. Pending while it may soon be known whether the origin has them. */
  prepare(position: number): Promise<void> | undefined {
    const { policy } = this.#options;
    if (this.#totalBytes < smallestFileBytes) return undefined;
    while (this.#batches[0] !== undefined && this.#batches[0].end <= position) this.#batches.shift();
    while (this.#batches.length < policy.batches && Math.max(this.#askedTo, position) < this.#totalBytes) {
      this.#start(Math.max(this.#askedTo, position));
    }
    const [first] = this.#batches;
    return first === undefined || first.isDone || first.begin > position ? undefined : first.done;
  }

  /** The next bytes, at most `room` as data, of `left` that the extent has. */
  take(offset: number, room: number, left: number): Cut {
    const cut = this.#found.size === 0 ? { count: room } : this.#cut(offset, room, left);
    this.#options.policy.handedOut(cut.count);
    for (let at = offset - (offset % sectorBytes); this.#found.size > 0 && at < offset + cut.count; at += sectorBytes) {
      this.#found.delete(at);
    }
    return cut;
  }

  /** Nothing is asked any more, for now; what was is forgotten. */
  async settle(): Promise<void> {
    this.#round++;
    const batches = this.#batches;
    this.#batches = [];
    this.#found.clear();
    this.#askedTo = 0;
    await Promise.all(batches.map((batch) => batch.digested));
  }

  #cut(offset: number, room: number, left: number): Cut {
    const most = Math.floor(left / sectorBytes);
    if (offset % sectorBytes === 0) {
      const digests = this.#runAt(offset, Math.min(most, largestRun));
      if (digests.length >= smallestRun) return { count: digests.length * sectorBytes, digests };
    }
    const end = offset + room;
    for (let at = offset - (offset % sectorBytes) + sectorBytes; at < end; at += sectorBytes) {
      if (this.#runAt(at, smallestRun).length === smallestRun) return { count: at - offset };
    }
    return { count: room };
  }

  #runAt(offset: number, most: number): Uint8Array[] {
    const run: Uint8Array[] = [];
    for (let at = offset; run.length < most; at += sectorBytes) {
      const digest = this.#found.get(at);
      if (digest === undefined) break;
      run.push(digest);
    }
    return run;
  }

  #start(begin: number): void {
    const { clock, policy } = this.#options;
    const end = Math.min(begin + batchBytes, this.#totalBytes);
    const round = this.#round;
    this.#askedTo = end;
    const digesting = this.#digest(begin, end, round);
    const digested = digesting.then(
      () => undefined,
      () => undefined,
    );
    let isLate = false;
    const asking = digesting.then(async ({ sectors, writer }) => {
      if (sectors.length === 0 || round !== this.#round) return;
      const { status, found } = await this.#options.ask(
        sectors.map(({ digest }) => digest),
        writer,
      );
      if (round !== this.#round || isLate) return;
      const there = status === 0 ? sectors.filter((_, i) => found.has(i)) : [];
      for (const { offset, digest } of there) this.#found.set(offset, digest);
      policy.answered(sectors.length, there.length);
    });
    const done = new Promise<void>((resolve) => {
      const finish = (): void => {
        timer.cancel();
        batch.isDone = true;
        resolve();
      };
      const timer = clock.after(patienceMs, () => {
        isLate = true;
        policy.rest();
        finish();
      });
      // A session that ends, or a log that cannot be read: the WRITE finds out.
      asking.then(finish, finish);
    });
    const batch: Batch = { begin, end, isDone: false, done, digested };
    this.#batches.push(batch);
  }

  /** Whole sectors of [begin, end) that are not zero: those cost nothing anyway. */
  async #digest(begin: number, end: number, round: number): Promise<{ sectors: Sector[]; writer: number }> {
    const { plan, epoch } = this.#options;
    const sectors: Sector[] = [];
    let writer = plan.writer;
    let before = 0;
    for (const extent of plan.extents) {
      const from = extent.offset + Math.max(0, begin - before);
      const to = extent.offset + Math.min(extent.count, end - before);
      if (before >= end) break;
      before += extent.count;
      if (sectors.length === 0 && from < to) writer = extent.writer;
      // A sector between two batches is the second's.
      const whole = Math.ceil(extent.offset / sectorBytes) * sectorBytes;
      const first = Math.max(whole, from - (from % sectorBytes));
      const last = to - (to % sectorBytes);
      if (last - first < smallestRun * sectorBytes) continue;
      for (let at = first; at < last && round === this.#round; at += viewBytes) {
        sectors.push(...(await this.#digestView(epoch, at, Math.min(viewBytes, last - at))));
      }
    }
    return { sectors, writer };
  }

  async #digestView(epoch: EpochPlan, offset: number, count: number): Promise<Sector[]> {
    const view = epoch.read(this.#options.plan.file, offset, count);
    const sectors: Sector[] = [];
    try {
      const data = (await bytesOf(view)) ?? [];
      for (const [i, sector] of sectorsOf(data).entries()) {
        if (!isZero(sector)) sectors.push({ offset: offset + i * sectorBytes, digest: digestOf(sector) });
      }
    } finally {
      view.release();
    }
    return sectors;
  }
}

function sectorsOf(data: readonly Uint8Array[]): Uint8Array[] {
  const bytes = data.reduce((sum, slice) => sum + slice.length, 0);
  return Array.from({ length: Math.floor(bytes / sectorBytes) }, (_, i) => {
    const slices = cut(data, i * sectorBytes, (i + 1) * sectorBytes, []);
    return slices.length === 1 ? slices[0]! : Buffer.concat(slices);
  });
}
