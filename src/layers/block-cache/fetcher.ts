/**
 * Brings blocks from the origin: single-flight, merged into large requests, continued when a server answers short, and
 * kept in the clean cache in the background.
 *
 * Invariants: a block is asked for once at a time; a flight can be joined until its bytes are in the cache (or are known not to
 * go there); bytes waiting for the cache disk are bounded: above the limit prefetch stops and demand is answered uncached;
 * every origin reply is released exactly once.
 *
 *     blocks wanted ──join──> flight under way                      ┌─> readers that wait
 *           └──adjacent, merged──> new flight ──READ(s)──> settled ─┴─> clean cache ──> flight gone
 */
import { type Clock, type Log, limits } from '../../base/mod.ts';
import {
  Access,
  type Attributes,
  type Call,
  type Failure,
  type Filesystem,
  type ReadReply,
  Status,
  Urgency,
} from '../../vfs/mod.ts';
import type { BlockRun, Prefetcher } from '../read-ahead/mod.ts';
import { Flight, type Part } from './flight.ts';
import type { Ahead, OpenFile } from './open-file.ts';
import type { BlockCacheStatistics } from './statistics.ts';

const blockBytes = limits.blockBytes;
/** Payload that waits for the cache disk. */
const mostFillBytes = 32 * 1024 * 1024;
/** Part of it, of files that are being changed: the others go on meanwhile. */
const mostUnclearBytes = mostFillBytes / 4;
/** Fills in a row, of whatever files, that kept nothing: the cache fails, and all prefetch rests. One file rests earlier. */
const failuresBeforeRest = 32;
const restMs = 5_000;
/** A reply of which less than this part crossed says nothing of the link's rate. */
const nextToNothing = 16;

type Reply = Extract<ReadReply, { status: 0 }>;

export interface FetcherOptions {
  readonly next: Filesystem;
  readonly prefetcher: Prefetcher;
  readonly clock: Clock;
  readonly statistics: BlockCacheStatistics;
  readonly log: Log;
}

export class Fetcher implements Ahead {
  readonly #next: Filesystem;
  readonly #prefetcher: Prefetcher;
  readonly #clock: Clock;
  readonly #statistics: BlockCacheStatistics;
  readonly #log: Log;
  readonly #fills = new Set<Promise<void>>();
  #fillBytes = 0;
  #unclearBytes = 0;
  #failuresInRow = 0;
  #restUntilMs = 0;
  #transferBytes: number = limits.transferBytes;
  #isTransferKnown = false;
  #isClosed = false;

  constructor(options: FetcherOptions) {
    this.#next = options.next;
    this.#prefetcher = options.prefetcher;
    this.#clock = options.clock;
    this.#statistics = options.statistics;
    this.#log = options.log;
  }

  /** A flight for the blocks [first, first + count) of a file of `size` bytes, none of which is under way. Held by the caller. */
  fetch(file: OpenFile, call: Call, first: number, count: number, size: number): Flight {
    this.#learnTransferSize(call);
    if (call.priority === 'demand') this.#statistics.lastDemandMs = this.#clock.now();
    const flight = new Flight(call, first * blockBytes, Math.min((first + count) * blockBytes, size));
    for (let block = first; block < first + count; block++) file.flights.set(block, flight);
    void this.#fly(file, flight);
    return flight.hold();
  }

  mayPrefetch(file: OpenFile): boolean {
    if (this.#isClosed || file.reader === undefined || file.cached?.live !== true) return false;
    const nowMs = this.#clock.now();
    return this.#fillBytes <= mostFillBytes / 2 && nowMs >= this.#restUntilMs && !file.trouble.isResting(nowMs);
  }

  /** The file's record may be gone, because it was changed or the cache had no room: it is looked at anew. */
  makeReady(file: OpenFile): void {
    const { reader, trouble } = file;
    const nowMs = this.#clock.now();
    if (this.#isClosed || reader === undefined || file.cached?.live === true || !trouble.mayLook(nowMs)) return;
    const call: Call = { credential: reader.credential, peer: 'read-ahead', priority: 'prefetch' };
    const looked = (status: Failure | 0): void => {
      trouble.looked(this.#clock.now());
      if (status !== 0) this.#failed(file, status);
      this.#prefetcher.pump();
    };
    void this.#look(file, call).then(looked, () => trouble.looked(this.#clock.now()));
  }

  async #look(file: OpenFile, call: Call): Promise<Failure | 0> {
    const granted = await this.#next.access(call, { object: file.handle, access: Access.READ });
    if (granted.status !== 0) return granted.status;
    if ((granted.access & Access.READ) === 0) return Status.ACCES;
    const got = await this.#next.getattr(call, { object: file.handle });
    if (got.status !== 0) return got.status;
    return file.observe(got.attributes, this.#clock.now()) === 'unclear' ? Status.JUKEBOX : 0;
  }

  /** Only this file rests; whoever waits for something that cannot be had is told. */
  #failed(file: OpenFile, status: Failure): void {
    if (!file.trouble.failed(status, this.#clock.now())) return;
    file.policy.wanted?.giveUp(status);
  }

  /** For the prefetcher. False: nothing is sent. */
  prefetch(file: OpenFile, run: BlockRun, done: (bytes: number, isFree: boolean) => void): boolean {
    const { reader } = file;
    if (reader === undefined || !this.mayPrefetch(file)) return false;
    const urgency = new Urgency();
    const call: Call = { credential: reader.credential, peer: 'read-ahead', priority: 'prefetch', urgency };
    const flight = this.fetch(file, call, run.first, run.count, file.size);
    void flight.settled.then(() => {
      flight.release();
      if (flight.failure !== undefined) this.#failed(file, flight.failure);
      else if (flight.error !== undefined) file.trouble.rest(this.#clock.now());
      else if (byteCount(flight) > 0) file.trouble.came();
      const isFree = flight.parts.every((part) => part.link === 'unused');
      done(byteCount(flight), isFree && flight.parts.length > 0);
    });
    return true;
  }

  /** Waits for the cache's disk, not for the origin (it may be gone): what comes from now on is not kept. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#fills);
  }

  async #fly(file: OpenFile, flight: Flight): Promise<void> {
    const requests: Promise<void>[] = [];
    const most = Math.min(this.#transferBytes, this.#prefetcher.pieceBytes);
    for (let offset = flight.offset; offset < flight.end; offset += most) {
      requests.push(this.#request(file, flight, offset, Math.min(offset + most, flight.end)));
    }
    await Promise.all(requests);
    const bytes = byteCount(flight);
    if (flight.call.priority === 'prefetch') this.#statistics.prefetchBytes += bytes;
    else this.#statistics.demandBytes += bytes;
    flight.land();
    if (this.#fillBytes + bytes > mostFillBytes || this.#isClosed) {
      this.#statistics.unfilledBytes += bytes;
    } else if (bytes > 0) {
      this.#fillBytes += bytes;
      const fill = this.#keepAll(file, flight);
      this.#fills.add(fill);
      await fill;
      this.#fills.delete(fill);
      this.#fillBytes -= bytes;
      this.#prefetcher.pump();
    }
    this.#forget(file, flight);
    flight.release();
  }

  async #keepAll(file: OpenFile, flight: Flight): Promise<void> {
    try {
      for (const part of flight.parts) await this.#keep(file, part, byteCount(flight));
    } catch (error) {
      // A bug of the cache must not end the session's thread, and with it the unstable data of writers.
      this.#log.error({ error }, 'the cache failed to keep what was fetched');
      this.#rest();
    }
  }

  /** One READ, and more while the server answers short. Never rejects: the flight carries the failure. */
  async #request(file: OpenFile, flight: Flight, begin: number, end: number): Promise<void> {
    let offset = begin;
    while (offset < end && flight.failure === undefined && flight.error === undefined) {
      const count = end - offset;
      const ticket = file.cached?.ticket(offset, count);
      // In flight counts what will cross, as far as that can be told.
      const expected = Math.ceil(count * this.#prefetcher.link.share);
      const mark = this.#prefetcher.begin(expected, file.trouble);
      let crossed = 0;
      let link: Reply['link'];
      try {
        const reply = await this.#next.read(flight.call, { object: file.handle, offset, count });
        if (reply.status !== 0) {
          flight.failure = reply.status;
          flight.failureAttributes = reply.attributes;
          return;
        }
        crossed = reply.linkBytes ?? reply.count;
        link = reply.link ?? (crossed * nextToNothing < reply.count ? 'unused' : undefined);
        if (reply.link !== 'unused') this.#prefetcher.link.learnShare(crossed, reply.count);
        flight.add({ offset, ...reply, ticket });
        if (reply.eof || reply.count === 0) return;
        offset += reply.count;
      } catch (error) {
        flight.error = error;
      } finally {
        this.#prefetcher.end(mark, crossed, link);
      }
    }
  }

  /** Puts a part into the clean cache if it is certain which version it is of. */
  async #keep(file: OpenFile, part: Part, flightBytes: number): Promise<void> {
    let kept = 0;
    const isKeepable = part.count > 0 && part.attributes !== undefined && part.ticket?.good === true;
    if (isKeepable && (await this.#isOfVersion(file, part.attributes, flightBytes))) {
      const stamp = file.currentStamp ?? part.stamp;
      if (file.cached !== undefined && part.ticket !== undefined && stamp !== undefined && !this.#isClosed) {
        kept = await file.cached.fill(part.ticket, stamp, part.offset, part.data, part.count);
      }
      this.#noteFill(file, kept);
    }
    this.#statistics.fillBytes += kept;
    this.#statistics.unfilledBytes += Math.max(0, part.count - kept);
  }

  async #isOfVersion(file: OpenFile, attributes: Attributes | undefined, flightBytes: number): Promise<boolean> {
    let verdict = file.judge(attributes, this.#clock.now());
    // The reply to the write that produced these attributes may still be on its way.
    while (verdict === 'unclear' && file.mutations.size > 0 && !this.#isClosed) {
      if (this.#unclearBytes > 0 && this.#unclearBytes + flightBytes > mostUnclearBytes) return false;
      this.#unclearBytes += flightBytes;
      await file.nextMutationEnd();
      this.#unclearBytes -= flightBytes;
      verdict = file.judge(attributes, this.#clock.now());
    }
    if (verdict === 'changed') this.#statistics.foreignChanges++;
    return verdict === 'same';
  }

  #noteFill(file: OpenFile, kept: number): void {
    file.trouble.filled(kept > 0, this.#clock.now());
    this.#failuresInRow = kept > 0 ? 0 : this.#failuresInRow + 1;
    if (this.#failuresInRow < failuresBeforeRest) return;
    this.#failuresInRow = 0;
    this.#rest();
  }

  #rest(): void {
    this.#restUntilMs = this.#clock.now() + restMs;
  }

  #forget(file: OpenFile, flight: Flight): void {
    if (flight.isDetached) return;
    const last = Math.ceil(flight.end / blockBytes);
    for (let block = flight.offset / blockBytes; block < last; block++) {
      if (file.flights.get(block) === flight) file.flights.delete(block);
    }
  }

  /** rtmax of FSINFO (RFC 1813 3.3.19), asked once; until it is known servers that take less answer short. */
  #learnTransferSize(call: Call): void {
    if (this.#isTransferKnown) return;
    this.#isTransferKnown = true;
    void Promise.resolve(this.#next.fsinfo(call, { object: this.#next.root })).then(
      (reply) => {
        if (reply.status !== 0 || reply.readMaximum <= 0) return;
        const bytes = Math.min(reply.readMaximum, limits.transferBytes);
        this.#transferBytes = bytes < blockBytes ? bytes : bytes - (bytes % blockBytes);
      },
      () => {
        this.#isTransferKnown = false;
      },
    );
  }
}

function byteCount(flight: Flight): number {
  return flight.parts.reduce((sum, part) => sum + part.count, 0);
}
