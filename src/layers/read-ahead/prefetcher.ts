/**
 * Decides for one session when to prefetch and how much: sequential streams first, then blocks that are known to be wanted (working
 * sets, whole files), then neighbourhoods, as long as what is in flight is no more than the link needs to stay busy, so that a demand
 * read waits for little.
 *
 * Streams may have a multiple of the bandwidth-delay product in flight: their reader waits for nothing else. They begin with half of
 * what the link is known to hold, so that the start costs as many round trips over a long link as over a short one. Neighbourhoods are a
 * guess, so what they may have in flight follows the delay, as LEDBAT does (RFC 6817): it grows while requests queue for less than
 * `queueMs` at the link, and shrinks when they queue longer, because a demand read would stand in the same queue.
 * What is wanted comes before its reader: it has the bandwidth-delay product in flight and `requestMs` more, which is what a demand
 * read may find queued before it. Guesses about a file rest while blocks of it are known to be wanted.
 *
 * Invariants: bytes in flight never exceed the limit of the moment by more than one request; a target that wants nothing costs
 * nothing; after `close` nothing is started.
 *
 *     touch of a reader ──> FilePolicy ──wish──> pump: while in flight < limit ──start──> origin
 *                                                  ^                                        |
 *                                                  └──────────────── done ──────────────────┘
 */
import { type Clock, limits, type Timer } from '../../base/mod.ts';
import type { BlockRun, BlockView } from './block-view.ts';
import { InFlight, type Stuck } from './in-flight.ts';
import { LinkEstimator, type TransferMark } from './link-estimator.ts';
import { defaultNeighbourhood, Neighbourhood, type NeighbourhoodOptions } from './neighbourhood.ts';
import { RateMeter } from './rate-meter.ts';
import { SequentialStreams } from './sequential-streams.ts';
import type { WantedBlocks } from './wanted-blocks.ts';

export interface ReadAheadOptions {
  readonly sequential: boolean;
  readonly neighbourhood: NeighbourhoodOptions | undefined;
  /** Most bytes that all read-ahead may have in flight. Asked for each time: it may change. */
  readonly mostBytes: number;
  /** How long neighbourhood prefetch may make a request queue at the link. */
  readonly queueMs: number;
  /** How long one prefetch request may keep the link busy. */
  readonly requestMs: number;
  /** Most bytes a second that wanted blocks may take; absent: what the link gives. */
  readonly wantedBytesPerSecond?: number | undefined;
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
/** How long a piece of a large READ may take on the link, and what is worth a request. */
const pieceMs = 20;
const smallestPieceBytes = 256 * 1024;
/** Above the bandwidth-delay product: growing, the rate must be able to double; later a short queue keeps the link busy. */
const growthGain = 2;
const steadyGain = 1.5;
/** Of a link of which only the round trip is known: 20 Mbit/s. */
const assumedBytesPerMs = 2_500;
/** Above it a call waited for something else. */
const longestRoundTripMs = 2_000;
/** What neighbourhoods may always have in flight. */
const smallestGuessBytes = 2 * limits.blockBytes;

/** Wanted blocks are asked for in batches of this part of what they may have in flight, that a pack gives them in few READs. */
const batchShare = 8;
const mostBatchBlocks = 16;
/** With what may wait for the cache's disk before nothing more is fetched, as much as may wait at all: what comes is kept. */
const mostWantedBytes = 16 * 1024 * 1024;
/** When to look again whether a file can be served. */
const notReadyMs = 500;
const pausedMs = 1;

/** The policies of one file. */
export class FilePolicy {
  readonly streams = new SequentialStreams();
  readonly neighbourhood: Neighbourhood;
  /** The last touch may have made new wishes. */
  hasWishes = false;
  /** What is known to be wanted of it. */
  wanted: WantedBlocks | undefined;
  /** Guesses about it that are in flight, and the most that may be; 0: none are made. */
  inFlightBytes = 0;
  mostBytes = Number.POSITIVE_INFINITY;
  readonly #options: ReadAheadOptions;

  constructor(options: ReadAheadOptions) {
    this.#options = options;
    this.neighbourhood = new Neighbourhood(options.neighbourhood ?? noNeighbourhood);
  }

  /** Its needs are known for the time being: no guesses. */
  get isKnown(): boolean {
    return this.wanted?.isListed === true;
  }

  /** Blocks that may be guessed now; one may always be, if any. */
  get roomBlocks(): number {
    const room = Math.floor((this.mostBytes - this.inFlightBytes) / blockBytes);
    return room < 1 && this.mostBytes > 0 && this.inFlightBytes === 0 ? 1 : room;
  }

  /**
   * `missed`: the touch went to the origin by its own request. Returns how many of the touched blocks had been prefetched and
   * are used for the first time.
   */
  touch(offset: number, end: number, missed: boolean): number {
    if (this.mostBytes === 0) {
      this.hasWishes = false;
      return this.touchOnly(offset, end);
    }
    const isStream = this.#seesStream(offset, end, missed);
    const used = this.#use(offset, end, missed && !isStream && !this.isKnown);
    this.hasWishes = isStream || missed || used > 0;
    return used;
  }

  /** As `touch`, by a reader who reads ahead himself: nothing is guessed for him. */
  touchOnly(offset: number, end: number): number {
    return this.#use(offset, end, false);
  }

  #seesStream(offset: number, end: number, missed: boolean): boolean {
    const first = Math.floor(offset / blockBytes);
    // A reader who is ahead of his working set begins no stream: what he will read is known.
    const isForeseen = this.isKnown && this.wanted?.lists(first) === true;
    return this.#options.sequential && this.streams.touch(offset, end, missed && !isForeseen);
  }

  #use(offset: number, end: number, isGuessed: boolean): number {
    let used = 0;
    const last = Math.floor((end - 1) / blockBytes);
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) {
      if (this.neighbourhood.touch(block, isGuessed)) used++;
    }
    return used;
  }
}

/** As READ replies say it: what was answered without the link, or with what others asked for, tells nothing of it. */
type LinkUse = 'unused' | 'shared' | undefined;

/** A file that the prefetcher serves. */
export interface PrefetchTarget {
  readonly policy: FilePolicy;
  readonly view: BlockView;
  /** False: not now (too much waits for the cache's disk, the cache fails, the origin does not give the file, nobody reads it). */
  readonly isReady: boolean;
  /** Something of it is wanted, and it is not ready: asked again every now and then, until it is or the want is given up. */
  makeReady(): void;
  /** Sends the request; `done` is called once, with what it brought, and whether it came without the link. False: it cannot. */
  start(run: BlockRun, done: (bytes: number, isFree?: boolean) => void): boolean;
}

export class Prefetcher {
  readonly link = new LinkEstimator();
  /** Brought because it was known to be wanted. */
  wantedBytes = 0;
  readonly #clock: Clock;
  readonly #options: ReadAheadOptions;
  /** Files with wishes, the latest touched last. */
  readonly #wishing = new Set<PrefetchTarget>();
  /** Files of which blocks are wanted, in the order in which they came. */
  readonly #wanting = new Set<PrefetchTarget>();
  readonly #meter: RateMeter;
  #timer: Timer | undefined;
  #timerAtMs = 0;
  readonly #inFlight = new InFlight(mostWantedBytes);
  #guessBytes = smallestFlightBytes;
  #isPumping = false;
  #isClosed = false;

  constructor(options: ReadAheadOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#meter = new RateMeter(options.wantedBytesPerSecond);
  }

  get inFlightBytes(): number {
    return this.#inFlight.bytes;
  }

  /** Some call of few bytes went to the origin and was answered. */
  heard(durationMs: number): void {
    if (durationMs <= longestRoundTripMs) this.link.heard(durationMs, this.#clock.now());
  }

  /** A reader touched the file: its policy may have new wishes. */
  wake(target: PrefetchTarget): void {
    this.#wishing.delete(target);
    this.#wishing.add(target);
    this.pump();
  }

  want(target: PrefetchTarget, wanted: WantedBlocks): void {
    target.policy.wanted = wanted;
    if (!wanted.isListEmpty) target.policy.neighbourhood.forgoCredit();
    this.#wanting.add(target);
    // The READ that makes the need known goes first.
    queueMicrotask(() => this.pump());
  }

  forget(target: PrefetchTarget): void {
    this.#wishing.delete(target);
    if (this.#wanting.delete(target)) target.policy.wanted?.giveUp();
  }

  /** Every request to the origin for data, demand or prefetch, is counted and measured, by what crosses the link. */
  begin(bytes: number, file?: Stuck): TransferMark {
    const limit = this.#wanting.size > 0 ? this.#wantedLimit() : this.#streamLimit();
    const mark = this.link.begin(this.#clock.now(), this.#inFlight.bytes + bytes >= limit / 2);
    this.#inFlight.add(mark, bytes, file);
    return mark;
  }

  end(mark: TransferMark, gotBytes: number, link?: LinkUse): void {
    const isTimely = this.#inFlight.isTimely(mark);
    // A failure says nothing of what the link can carry; what was overdue is no sample any more.
    if (isTimely && (link === 'unused' || gotBytes === 0)) this.link.cancel();
    else if (isTimely && link === 'shared') this.link.joined(mark, gotBytes);
    else if (isTimely) {
      const nowMs = this.#clock.now();
      this.link.end(mark, gotBytes, nowMs);
      this.#followDelay(nowMs - mark.atMs, gotBytes);
    }
    this.#inFlight.end(mark);
    if (this.#wishing.size + this.#wanting.size > 0) this.pump();
  }

  pump(): void {
    if (this.#isPumping || this.#isClosed) return;
    this.#isPumping = true;
    while (this.#startOne());
    this.#isPumping = false;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const target of this.#wanting) target.policy.wanted?.giveUp();
    this.#wanting.clear();
    this.#wishing.clear();
  }

  #startOne(): boolean {
    if (this.#inFlight.bytes >= this.#streamLimit()) {
      this.#writeOff();
      return false;
    }
    return this.#startStream() || this.#startWanted() || this.#startGuess();
  }

  #startStream(): boolean {
    const most = this.#requestBlocks();
    for (const target of [...this.#wishing].reverse()) {
      const { roomBlocks, mostBytes } = target.policy;
      if (roomBlocks < 1 || !target.isReady) continue;
      // Beside a list of what is wanted, whatever else is read is little.
      const startBytes = target.policy.wanted === undefined ? this.#startBytes() : 0;
      const { share } = this.link;
      const window = Math.min(this.#streamLimit() / share, Math.max(mostBytes, blockBytes));
      const run = target.policy.streams.next(target.view, Math.min(most, roomBlocks), window, startBytes / share);
      if (run !== undefined && this.#start(target, run)) return true;
    }
    return false;
  }

  #startGuess(): boolean {
    const room = this.#guessBytes - this.#inFlight.bytes;
    if (room <= 0) return false;
    const most = Math.max(1, Math.min(this.#requestBlocks(), Math.floor(room / blockBytes)));
    for (const target of [...this.#wishing].reverse()) {
      const { isKnown, neighbourhood, roomBlocks, mostBytes } = target.policy;
      if (!target.isReady || (roomBlocks < 1 && mostBytes > 0)) continue;
      const isQuiet = isKnown || mostBytes === 0;
      const run = isQuiet ? undefined : neighbourhood.next(target.view, Math.min(most, roomBlocks));
      if (run !== undefined && this.#start(target, run)) return true;
      this.#wishing.delete(target);
    }
    return false;
  }

  #start(target: PrefetchTarget, run: BlockRun): boolean {
    const { policy } = target;
    const bytes = run.count * blockBytes;
    const done = (_bytes: number, isFree?: boolean): void => {
      policy.inFlightBytes -= bytes;
      if (isFree === true) policy.streams.forgive(run);
      this.pump();
    };
    // Before it can be done.
    policy.inFlightBytes += bytes;
    if (!target.start(run, done)) {
      policy.inFlightBytes -= bytes;
      return false;
    }
    policy.neighbourhood.prefetched(run);
    return true;
  }

  /** Working sets before whole files. */
  #startWanted(): boolean {
    if (this.#wanting.size === 0) return false;
    const limit = this.#wantedLimit();
    const crossing = blockBytes * this.link.share;
    const batch = Math.max(1, Math.min(mostBatchBlocks, Math.floor(limit / batchShare / crossing)));
    // With half a batch of room: so the limit is kept on the average.
    if (this.#inFlight.bytes > 0 && limit - this.#inFlight.bytes < (batch * crossing) / 2) {
      this.#writeOff();
      return false;
    }
    const waitMs = this.#meter.waitMs(this.#clock.now());
    if (waitMs > 0) {
      this.#pumpAfter(waitMs);
      return false;
    }
    for (const isListed of [true, false]) {
      for (const target of this.#wanting) {
        const { wanted } = target.policy;
        if (wanted === undefined || wanted.hasEnded) this.#wanting.delete(target);
        else if (wanted.isListed !== isListed) continue;
        else if (!target.isReady) {
          target.makeReady();
          this.#pumpAfter(notReadyMs);
        } else if (this.#startBatch(target, wanted, batch)) return true;
      }
    }
    return false;
  }

  /** In one go, so that what a pack has side by side is asked for together. */
  #startBatch(target: PrefetchTarget, wanted: WantedBlocks, most: number): boolean {
    let left = most;
    while (left > 0) {
      const run = wanted.take(target.view, left);
      if (run === undefined) break;
      const bytes = run.count * blockBytes;
      const done = (got: number, isFree?: boolean): void => {
        if (isFree === true || got === 0) this.#meter.giveBack(bytes);
        wanted.done(run, got);
        this.wantedBytes += got;
        this.pump();
      };
      if (!target.start(run, done)) {
        wanted.putBack(run);
        this.#pumpAfter(notReadyMs);
        return false;
      }
      this.#meter.take(bytes, this.#clock.now());
      left -= run.count;
    }
    if (left === most && wanted.isPaused) this.#pumpAfter(pausedMs);
    return left < most;
  }

  /** A file whose requests the origin keeps waiting must not hold all the room. */
  #writeOff(): void {
    const leftMs = this.#inFlight.writeOff(this.#clock.now());
    if (leftMs === 0) this.link.cancel();
    if (leftMs !== undefined) this.#pumpAfter(leftMs);
  }

  #pumpAfter(delayMs: number): void {
    const atMs = this.#clock.now() + delayMs;
    if (this.#isClosed || (this.#timer !== undefined && this.#timerAtMs <= atMs)) return;
    // The earliest counts: what is not ready must not slow down what waits for its rate.
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = undefined;
      this.pump();
    });
  }

  /** What keeps the link busy, and `requestMs` more. */
  #wantedLimit(): number {
    const { link } = this;
    const gain = link.growing ? growthGain : 1;
    const wanted = gain * link.bandwidthDelayBytes + this.#options.requestMs * link.bytesPerMs;
    return Math.min(Math.max(wanted, this.#guessBytes), this.#options.mostBytes, mostWantedBytes);
  }

  #streamLimit(): number {
    const gain = this.link.growing ? growthGain : steadyGain;
    const wanted = smallestFlightBytes + gain * this.link.bandwidthDelayBytes;
    return Math.min(Math.max(wanted, 2 * this.#startBytes()), this.#options.mostBytes);
  }

  /** What a stream may ask for at once: half of what the link holds, or what it would hold if it were a slow one. */
  #startBytes(): number {
    const { figures, heardRoundTripMs } = this.link;
    return (figures === undefined ? assumedBytesPerMs : figures.bytesPerMs / 2) * heardRoundTripMs;
  }

  /** One step of the delay-based control: `durationMs` less round trip and own bytes is the time that was spent in queues. */
  #followDelay(durationMs: number, bytes: number): void {
    const { link } = this;
    const queuedMs = durationMs - link.roundTripMs - bytes / link.steadyBytesPerMs;
    const room = Math.max(-1, (this.#options.queueMs - queuedMs) / this.#options.queueMs);
    // Growing what is not used up would say nothing about the link.
    if (room > 0 && this.#inFlight.bytes < this.#guessBytes) return;
    const step = (room * Math.min(bytes, this.#guessBytes) * blockBytes) / this.#guessBytes;
    this.#guessBytes = Math.min(Math.max(this.#guessBytes + step, smallestGuessBytes), this.#options.mostBytes);
  }

  /**
   * Most bytes of one request over a slow link. Connections share it: large READs, one on each, would all end at the same time, and the
   * link would be empty until the bytes of the next ones come.
   */
  get pieceBytes(): number {
    const { figures } = this.link;
    if (figures === undefined) return limits.transferBytes;
    const bytes = Math.min(Math.max(figures.bytesPerMs * pieceMs, smallestPieceBytes), limits.transferBytes);
    return bytes - (bytes % blockBytes);
  }

  #requestBlocks(): number {
    const bytes = Math.max((this.link.bytesPerMs * this.#options.requestMs) / this.link.share, blockBytes);
    // Of what may be in flight, one request must not be most.
    const most = Math.min(limits.transferBytes, this.#streamLimit() / this.link.share / 4);
    return Math.max(1, Math.floor(Math.min(bytes, most) / blockBytes));
  }
}
