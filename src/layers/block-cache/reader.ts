/**
 * Answers a READ that the cache cannot answer alone: from cached runs and flights, without copying.
 *
 * Invariants: a reply never mixes versions: bytes of the cache go only with bytes whose own attributes say the same version;
 * every hit and flight that was taken is released exactly once; the tries are bounded, after them the origin alone answers.
 *
 *     plan:    [ cached run ][ flight ....... ][ cached run ]
 *     verdict: all same version ──> reply     one flight's own bytes only ──> reply with its attributes
 *              else ──> attributes anew, plan anew (3 times) ──> pass through
 */
import { type Clock, type Eventual, isPromise, limits } from '../../base/mod.ts';
import type { CacheHit } from '../../cache/mod.ts';
import type { Attributes, Call, Failure, Filesystem, ReadArguments, ReadReply } from '../../vfs/mod.ts';
import { sameContent } from '../../vfs/mod.ts';
import type { Fetcher } from './fetcher.ts';
import type { Flight } from './flight.ts';
import type { OpenFile } from './open-file.ts';
import type { BlockCacheStatistics } from './statistics.ts';

const blockBytes = limits.blockBytes;
const mostTries = 3;

interface Segment {
  readonly offset: number;
  readonly end: number;
  readonly flight: Flight | undefined;
  readonly hit: Eventual<CacheHit | undefined>;
  /** The flight was under way when the read came. */
  readonly isJoined: boolean;
}

export interface ReaderOptions {
  readonly next: Filesystem;
  readonly fetcher: Fetcher;
  readonly clock: Clock;
  readonly statistics: BlockCacheStatistics;
}

export class Reader {
  readonly #next: Filesystem;
  readonly #fetcher: Fetcher;
  readonly #clock: Clock;
  readonly #statistics: BlockCacheStatistics;

  constructor(options: ReaderOptions) {
    this.#next = options.next;
    this.#fetcher = options.fetcher;
    this.#clock = options.clock;
    this.#statistics = options.statistics;
  }

  /** `attributes` were observed by this very read; [offset, end) lies within their size and is not empty. */
  async read(file: OpenFile, call: Call, args: ReadArguments, attributes: Attributes, end: number): Promise<ReadReply> {
    let current = attributes;
    let currentEnd = end;
    for (let attempt = 0; attempt < mostTries; attempt++) {
      const reply = await this.#attempt(file, call, args.offset, currentEnd, current);
      if (reply !== undefined) return reply;
      const got = await this.#next.getattr(call, { object: args.object });
      if (got.status !== 0) return { status: got.status };
      current = got.attributes;
      if (file.observe(current, this.#clock.now()) === 'unclear') break;
      currentEnd = Math.min(args.offset + args.count, current.size);
      if (currentEnd <= args.offset) break;
    }
    this.#statistics.passed++;
    return this.#next.read(call, args);
  }

  async #attempt(
    file: OpenFile,
    call: Call,
    offset: number,
    end: number,
    attributes: Attributes,
  ): Promise<ReadReply | undefined> {
    const segments = this.#plan(file, call, offset, end, attributes.size);
    const hits: CacheHit[] = [];
    const release = (): void => {
      for (const hit of hits) hit.release();
      for (const segment of segments) segment.flight?.release();
    };
    const { cached } = file;
    let isComplete = true;
    const data: Uint8Array[] = [];
    for (const segment of segments) {
      await segment.flight?.settled;
      const hit = await segment.hit;
      if (hit !== undefined) hits.push(hit);
      if (segment.flight !== undefined)
        isComplete = segment.flight.slices(segment.offset, segment.end, data) && isComplete;
      else if (hit === undefined) isComplete = false;
      else data.push(...hit.slices);
    }
    const failed = segments.find((segment) => segment.flight?.failure !== undefined);
    const broken = segments.find((segment) => segment.flight?.error !== undefined);
    let reply: ReadReply | undefined;
    if (failed !== undefined) reply = ownFailure(failed, call);
    else if (broken === undefined && isComplete) {
      const shown = this.#attributesOf(file, segments, attributes, cached === file.cached);
      if (shown !== undefined) {
        const count = end - offset;
        reply = { status: 0, attributes: shown, data, count, eof: end >= shown.size, release };
        return reply;
      }
    }
    release();
    if (broken?.isJoined === false) throw broken.flight?.error;
    return reply;
  }

  /** The blocks that are here as cached runs, the others as flights, joined or new. */
  #plan(file: OpenFile, call: Call, offset: number, end: number, size: number): Segment[] {
    const segments: Segment[] = [];
    const last = Math.floor((end - 1) / blockBytes);
    for (let block = Math.floor(offset / blockBytes); block <= last; ) {
      const begin = block;
      const joined = file.flights.get(block);
      const isCached = joined === undefined && this.#isCached(file, block, offset, end);
      do block++;
      while (
        block <= last &&
        file.flights.get(block) === joined &&
        (joined !== undefined || this.#isCached(file, block, offset, end) === isCached)
      );
      const from = Math.max(begin * blockBytes, offset);
      const to = Math.min(block * blockBytes, end);
      if (joined !== undefined) {
        this.#statistics.joined += block - begin;
        if (call.priority === 'demand') joined.call.urgency?.raise();
        segments.push({ offset: from, end: to, flight: joined.hold(), hit: undefined, isJoined: true });
      } else if (isCached) {
        segments.push({ offset: from, end: to, flight: undefined, hit: undefined, isJoined: false });
      } else {
        const flight = this.#fetcher.fetch(file, call, begin, block - begin, size);
        segments.push({ offset: from, end: to, flight, hit: undefined, isJoined: false });
      }
    }
    // Requests leave first, then the disk is read while they are under way.
    return segments.map((segment) => {
      if (segment.flight !== undefined) return segment;
      const hit = file.cached?.read(segment.offset, segment.end - segment.offset);
      // It is awaited later, after the flights before it: an error must not go unhandled until then.
      if (isPromise(hit)) hit.catch(() => {});
      return { ...segment, hit };
    });
  }

  #isCached(file: OpenFile, block: number, offset: number, end: number): boolean {
    const from = Math.max(block * blockBytes, offset);
    return file.cached?.has(from, Math.min((block + 1) * blockBytes, end) - from) ?? false;
  }

  /** What the reply may say about the file, or undefined if its bytes may be of different versions. */
  #attributesOf(
    file: OpenFile,
    segments: readonly Segment[],
    attributes: Attributes,
    isVersionKept: boolean,
  ): Attributes | undefined {
    const now = this.#clock.now();
    let isSame = isVersionKept;
    let own: Attributes | undefined;
    let isOwnOnly = true;
    for (const segment of segments) {
      if (segment.flight === undefined || segment.isJoined) isOwnOnly = false;
      for (const part of segment.flight?.partsOf(segment.offset, segment.end) ?? []) {
        const verdict = file.judge(part.attributes, now);
        if (verdict === 'changed') this.#statistics.foreignChanges++;
        if (verdict !== 'same') isSame = false;
        if (part.attributes === undefined || (own !== undefined && !sameContent(own, part.attributes)))
          isOwnOnly = false;
        own = part.attributes;
      }
    }
    if (isSame) return attributes;
    // One state of the origin, asked for after this read came: right whatever the cache thinks.
    return isOwnOnly ? own : undefined;
  }
}

/** A failure is passed on if it is about this caller; a prefetch's, or another's, says nothing. */
function ownFailure(segment: Segment, call: Call): ReadReply | undefined {
  const { flight } = segment;
  if (flight === undefined) return undefined;
  const isOwn = !segment.isJoined || flight.call.credential.key === call.credential.key;
  if (!isOwn || (segment.isJoined && flight.call.priority === 'prefetch')) return undefined;
  return { status: flight.failure as Failure, attributes: flight.failureAttributes };
}
