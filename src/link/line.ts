/**
 * One direction of the link: a transmitter that all connections share, and the cable behind it.
 *
 * ```
 *  read ──► [ queue: waits for the transmitter ] ──► [ cable: half a round trip ] ──► write
 *           <──────── backlog, bounded ────────>     <─── bytes in flight ───────>
 *           now ................. lineFree                        due
 * ```
 *
 * Both parts are one array of parcels with due times: parcels leave the transmitter in the order they came and the cable has one
 * length, so due times never fall and one timer drains them all. A parcel is a view of what was read; nothing is copied.
 *
 * Invariants: due times do not decrease; `lineFree` is when the last bit queued leaves the transmitter; a frozen line delivers
 * nothing and, thawed, delivers everything in the old order, later by as long as it was frozen.
 */
import type { Clock, Timer } from '../base/mod.ts';

/** What an Ethernet frame carries of a TCP stream, and what it takes on the wire (headers, timestamps, preamble, gap). */
const segmentBytes = 1448;
const segmentOverheadBytes = 90;

/** Timers are as coarse as a millisecond: what is due within half of one goes now, so that the error has no bias. */
const timerSlackMs = 0.5;

/** A receiver of what left the line. `deliver` may be called several times between `open` and `flush`. */
export interface Receiver {
  /** More of this turn's parcels follow: hold the writes together. */
  open(): void;
  deliver(parcel: Uint8Array): void;
  /** The stream's end, or its abort, as ordered after all its bytes. */
  finish(aborted: boolean): void;
  flush(): void;
}

interface Parcel {
  readonly due: number;
  readonly receiver: Receiver;
  /** Undefined: the end of the stream. */
  readonly bytes: Uint8Array | undefined;
  readonly aborted: boolean;
}

export interface LineOptions {
  readonly delayMs: number;
  /** Infinity: no limit. */
  readonly bitsPerSecond: number;
  /** Bytes that may wait for the transmitter, in milliseconds of its time. */
  readonly queueMs: number;
  readonly clock: Clock;
}

export class Line {
  readonly #options: LineOptions;
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  /** Largest parcel: about half a millisecond of the line, as a far end sees the first bytes before the last were sent. */
  readonly #parcelBytes: number;
  #parcels: (Parcel | undefined)[] = [];
  #head = 0;
  #lineFree = 0;
  #shiftMs = 0;
  #timer: Timer | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #waiters: (() => void)[] = [];
  #frozenAt: number | undefined;
  #bytes = 0;
  #closed = false;

  constructor(options: LineOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#bytesPerMs = options.bitsPerSecond / 8000;
    this.#parcelBytes = Math.max(segmentBytes, Math.min(65536, Math.floor(this.#bytesPerMs / 2)));
  }

  /** Payload bytes taken onto the line since the start. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether as much waits for the transmitter as may. */
  get full(): boolean {
    return this.#frozenAt !== undefined || this.#lineFree - this.#now() > this.#options.queueMs;
  }

  /** Calls `action` once, when at most half of the queue waits. */
  whenRoom(action: () => void): void {
    this.#waiters.push(action);
    this.#arm();
  }

  send(receiver: Receiver, bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    for (let offset = 0; offset < bytes.length; offset += this.#parcelBytes) {
      const end = Math.min(bytes.length, offset + this.#parcelBytes);
      const whole = offset === 0 && end === bytes.length;
      this.#put(receiver, whole ? bytes : bytes.subarray(offset, end), false);
    }
    this.#arm();
  }

  finish(receiver: Receiver, aborted: boolean): void {
    this.#put(receiver, undefined, aborted);
    this.#arm();
  }

  freeze(): void {
    this.#frozenAt ??= this.#clock.now();
    this.#disarm();
  }

  thaw(): void {
    if (this.#frozenAt === undefined) return;
    this.#shiftMs += this.#clock.now() - this.#frozenAt;
    this.#frozenAt = undefined;
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#disarm();
    this.#parcels = [];
    this.#head = 0;
    this.#waiters = [];
  }

  /** Line time: the clock without the times when the line was frozen. */
  #now(): number {
    return (this.#frozenAt ?? this.#clock.now()) - this.#shiftMs;
  }

  #put(receiver: Receiver, bytes: Uint8Array | undefined, aborted: boolean): void {
    const length = bytes?.length ?? 0;
    const wireBytes = length + Math.max(1, Math.ceil(length / segmentBytes)) * segmentOverheadBytes;
    this.#lineFree = Math.max(this.#lineFree, this.#now()) + wireBytes / this.#bytesPerMs;
    this.#parcels.push({ due: this.#lineFree + this.#options.delayMs, receiver, bytes, aborted });
  }

  #arm(): void {
    if (this.#closed || this.#frozenAt !== undefined) return;
    let wakeAt = this.#parcels[this.#head]?.due ?? Number.POSITIVE_INFINITY;
    if (this.#waiters.length > 0) wakeAt = Math.min(wakeAt, this.#lineFree - this.#options.queueMs / 2);
    if (wakeAt >= this.#wakeAt) return;
    this.#disarm();
    if (wakeAt === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = wakeAt;
    const waitMs = wakeAt - this.#now();
    if (waitMs <= timerSlackMs) queueMicrotask(() => this.#wake());
    // Timers fire up to a millisecond late, never early: the next lower whole one is the nearest.
    else
      this.#timer = this.#clock.after(Math.max(1, Math.floor(waitMs)), () => {
        this.#timer = undefined;
        this.#wake();
      });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wakeAt = Number.POSITIVE_INFINITY;
  }

  #wake(): void {
    // A microtask cannot be cancelled; what came after it may have armed a timer.
    if (this.#closed || this.#frozenAt !== undefined || this.#timer !== undefined) return;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#drain();
  }

  #drain(): void {
    const now = this.#now() + timerSlackMs;
    const opened = new Set<Receiver>();
    for (;;) {
      const parcel = this.#parcels[this.#head];
      if (parcel === undefined || parcel.due > now) break;
      this.#parcels[this.#head++] = undefined;
      if (!opened.has(parcel.receiver)) {
        opened.add(parcel.receiver);
        parcel.receiver.open();
      }
      if (parcel.bytes === undefined) parcel.receiver.finish(parcel.aborted);
      else parcel.receiver.deliver(parcel.bytes);
    }
    for (const receiver of opened) receiver.flush();
    if (this.#head > 1024 && this.#head * 2 > this.#parcels.length) {
      this.#parcels.splice(0, this.#head);
      this.#head = 0;
    }
    if (this.#waiters.length > 0 && this.#lineFree - now <= this.#options.queueMs / 2) {
      const waiters = this.#waiters;
      this.#waiters = [];
      for (const waiter of waiters) waiter();
    }
    this.#arm();
  }
}
