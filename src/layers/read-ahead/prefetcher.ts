/**
 * Decides for one session when to prefetch and how much: sequential streams first, then neighbourhoods, as long as what is
 * in flight is no more than the link needs to stay busy, so that a demand read waits for little.
 *
 * Streams may have a multiple of the bandwidth-delay product in flight: their reader waits for nothing else. Neighbourhoods are a
 * guess, so what they may have in flight follows the delay, as LEDBAT does (RFC 6817): it grows while requests queue for less than
 * `queueMs` at the link, and shrinks when they queue longer, because a demand read would stand in the same queue.
 *
 * Invariants: bytes in flight never exceed the limit of the moment by more than one request; a target that wants nothing costs
 * nothing; after `close` nothing is started.
 *
 *     touch of a reader ──> FilePolicy ──wish──> pump: while in flight < limit ──start──> origin
 *                                                  ^                                        |
 *                                                  └──────────────── done ──────────────────┘
 */
import { type Clock, limits } from '../../base/mod.ts';
import type { BlockRun, BlockView } from './block-view.ts';
import { LinkEstimator, type TransferMark } from './link-estimator.ts';
import { defaultNeighbourhood, Neighbourhood, type NeighbourhoodOptions } from './neighbourhood.ts';
import { SequentialStreams } from './sequential-streams.ts';

export interface ReadAheadOptions {
  readonly sequential: boolean;
  readonly neighbourhood: NeighbourhoodOptions | undefined;
  /** Most bytes that all read-ahead may have in flight. */
  readonly mostBytes: number;
  /** How long neighbourhood prefetch may make a request queue at the link. */
  readonly queueMs: number;
  /** How long one prefetch request may keep the link busy. */
  readonly requestMs: number;
}

export const defaultReadAhead: ReadAheadOptions = {
  sequential: true,
  neighbourhood: defaultNeighbourhood,
  mostBytes: limits.readAheadBytes,
  queueMs: 10,
  requestMs: 10,
};

export const noReadAhead: ReadAheadOptions = { ...defaultReadAhead, sequential: false, neighbourhood: undefined };

/** Only keeps account of what was prefetched. */
const noNeighbourhood = { ...defaultNeighbourhood, smallestFileBytes: Number.POSITIVE_INFINITY };

const blockBytes = limits.blockBytes;
/** In flight before the link is known, and always allowed to streams. */
const smallestFlightBytes = 256 * 1024;
/** Above the bandwidth-delay product: growing, the rate must be able to double; later a short queue keeps the link busy. */
const growthGain = 2;
const steadyGain = 1.5;
/** What neighbourhoods may always have in flight. */
const smallestGuessBytes = 2 * limits.blockBytes;

/** The policies of one file. */
export class FilePolicy {
  readonly streams = new SequentialStreams();
  readonly neighbourhood: Neighbourhood;
  /** The last touch may have made new wishes. */
  hasWishes = false;
  readonly #options: ReadAheadOptions;

  constructor(options: ReadAheadOptions) {
    this.#options = options;
    this.neighbourhood = new Neighbourhood(options.neighbourhood ?? noNeighbourhood);
  }

  /**
   * `missed`: the touch went to the origin by its own request. Returns how many of the touched blocks had been prefetched and
   * are used for the first time.
   */
  touch(offset: number, end: number, missed: boolean): number {
    const isStream = this.#options.sequential && this.streams.touch(offset, end, missed);
    let used = 0;
    const last = Math.floor((end - 1) / blockBytes);
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) {
      if (this.neighbourhood.touch(block, missed && !isStream)) used++;
    }
    this.hasWishes = isStream || missed || used > 0;
    return used;
  }
}

/** As READ replies say it: what was answered without the link, or with what others asked for, tells nothing of it. */
type LinkUse = 'unused' | 'shared' | undefined;

/** A file that the prefetcher serves. */
export interface PrefetchTarget {
  readonly policy: FilePolicy;
  readonly view: BlockView;
  /** False: not now (too much waits for the cache's disk, the cache or the origin fails, nobody reads the file). */
  readonly isReady: boolean;
  /** Sends the request; `done` is called once, with what it brought, and whether it came without the link. False: it cannot. */
  start(run: BlockRun, done: (bytes: number, isFree?: boolean) => void): boolean;
}

export class Prefetcher {
  readonly link = new LinkEstimator();
  readonly #clock: Clock;
  readonly #options: ReadAheadOptions;
  /** Files with wishes, the latest touched last. */
  readonly #wishing = new Set<PrefetchTarget>();
  #inFlightBytes = 0;
  #guessBytes = smallestFlightBytes;
  #isPumping = false;
  #isClosed = false;

  constructor(options: ReadAheadOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** A reader touched the file: its policy may have new wishes. */
  wake(target: PrefetchTarget): void {
    this.#wishing.delete(target);
    this.#wishing.add(target);
    this.pump();
  }

  forget(target: PrefetchTarget): void {
    this.#wishing.delete(target);
  }

  /** Every request to the origin for data, demand or prefetch, is counted and measured. */
  begin(bytes: number): TransferMark {
    this.#inFlightBytes += bytes;
    return this.link.begin(this.#clock.now(), this.#inFlightBytes >= this.#streamLimit() / 2);
  }

  end(mark: TransferMark, askedBytes: number, gotBytes: number, link?: LinkUse): void {
    if (link === 'unused') this.link.cancel();
    else if (link === 'shared') this.link.joined(gotBytes);
    else {
      const nowMs = this.#clock.now();
      this.link.end(mark, gotBytes, nowMs);
      if (gotBytes > 0) this.#followDelay(nowMs - mark.atMs, gotBytes);
    }
    this.#inFlightBytes -= askedBytes;
    if (this.#wishing.size > 0) this.pump();
  }

  pump(): void {
    if (this.#isPumping || this.#isClosed) return;
    this.#isPumping = true;
    while (this.#startOne());
    this.#isPumping = false;
  }

  close(): void {
    this.#isClosed = true;
    this.#wishing.clear();
  }

  #startOne(): boolean {
    const streamRoom = this.#streamLimit() - this.#inFlightBytes;
    if (streamRoom <= 0) return false;
    const neighbourRoom = this.#guessBytes - this.#inFlightBytes;
    const most = this.#requestBlocks();
    for (const target of [...this.#wishing].reverse()) {
      if (!target.isReady) continue;
      let run = target.policy.streams.next(target.view, most, this.#streamLimit());
      if (run === undefined && neighbourRoom > 0) {
        const room = Math.max(1, Math.min(most, Math.floor(neighbourRoom / blockBytes)));
        run = target.policy.neighbourhood.next(target.view, room);
      } else if (run === undefined) continue;
      if (run !== undefined && this.#start(target, run)) return true;
      this.#wishing.delete(target);
    }
    return false;
  }

  #start(target: PrefetchTarget, run: BlockRun): boolean {
    const done = (_bytes: number, isFree?: boolean): void => {
      if (isFree === true) target.policy.streams.forgive(run);
      this.pump();
    };
    if (!target.start(run, done)) return false;
    target.policy.neighbourhood.prefetched(run);
    return true;
  }

  #streamLimit(): number {
    const gain = this.link.growing ? growthGain : steadyGain;
    const wanted = smallestFlightBytes + gain * this.link.bandwidthDelayBytes;
    return Math.min(wanted, this.#options.mostBytes);
  }

  /** One step of the delay-based control: `durationMs` less round trip and own bytes is the time that was spent in queues. */
  #followDelay(durationMs: number, bytes: number): void {
    const { link } = this;
    const queuedMs = durationMs - link.roundTripMs - bytes / link.steadyBytesPerMs;
    const room = Math.max(-1, (this.#options.queueMs - queuedMs) / this.#options.queueMs);
    // Growing what is not used up would say nothing about the link.
    if (room > 0 && this.#inFlightBytes < this.#guessBytes) return;
    const step = (room * Math.min(bytes, this.#guessBytes) * blockBytes) / this.#guessBytes;
    this.#guessBytes = Math.min(Math.max(this.#guessBytes + step, smallestGuessBytes), this.#options.mostBytes);
  }

  #requestBlocks(): number {
    const bytes = Math.max(this.link.bytesPerMs * this.#options.requestMs, blockBytes);
    return Math.max(1, Math.floor(Math.min(bytes, limits.transferBytes) / blockBytes));
  }
}
