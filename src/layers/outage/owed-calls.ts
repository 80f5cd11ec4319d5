/**
 * Calls that wait for the origin, and fail with a refusal when they have waited too long while it is away.
 *
 *     asked ──reply──────────────────────────────────────────────► answered
 *       │ away, and waited `failAfterMs` since both are so
 *       └────────► refused ──late reply──► disposed of             the origin may still do what was asked
 *
 *     parked ──room, or the origin is back──► asked                too many refused calls are still owed: nothing more is asked
 *       └────────► refused                                         it was never asked
 *
 * Invariants: each call is settled once. A refused call stays with the layers below until the origin answers, so their number and
 * bytes are bounded. While calls are owed, silence does not go unnoticed: every `probeMs` something cheap is asked. One timer.
 */
import { type Clock, type Eventual, isPromise, limits, type Timer } from '../../base/mod.ts';
import type * as fs from '../../vfs/mod.ts';
import type { OriginPresence } from '../origin-presence.ts';

export interface OwedCallsOptions {
  readonly clock: Clock;
  readonly presence: OriginPresence;
  readonly failAfterMs: number;
  /** Asks the origin for something cheap, past every cache that it could be answered from while the origin is there. */
  readonly probe: (call: fs.Call) => Eventual<unknown>;
}

export interface OwedCallsStats {
  /** Calls that wait for the origin. */
  readonly waiting: number;
  /** Calls that were refused since the start. */
  readonly refused: number;
  /** Of those, calls whose answer is still owed. */
  readonly owed: number;
}

interface Owed {
  readonly call: fs.Call;
  readonly sinceMs: number;
  readonly bytes: number;
  refuse(): void;
  /** Undefined once it has been asked. */
  ask: (() => void) | undefined;
}

/** What is asked of the origin; `dispose` frees a reply that came too late. */
export interface Question<Reply> {
  readonly call: fs.Call;
  readonly bytes: number;
  readonly ask: () => Eventual<Reply>;
  readonly refusal: Reply;
  readonly dispose?: ((reply: Reply) => void) | undefined;
}

const probeMs = 1_000;

export class OwedCalls {
  readonly #options: OwedCallsOptions;
  /** In the order of their starting. */
  readonly #waiting = new Set<Owed>();
  readonly #parked = new Set<Owed>();
  #timer: Timer | undefined;
  #awaySinceMs: number | undefined;
  #isProbing = false;
  #isClosed = false;
  #refused = 0;
  #owed = 0;
  #owedBytes = 0;

  constructor(options: OwedCallsOptions) {
    this.#options = options;
    const { clock, presence } = options;
    if (presence.isAway) this.#awaySinceMs = clock.now();
    presence.observe((isAway) => {
      this.#awaySinceMs = isAway ? clock.now() : undefined;
      if (!isAway) this.#askParked();
      this.#schedule();
    });
  }

  stats(): OwedCallsStats {
    return { waiting: this.#waiting.size, refused: this.#refused, owed: this.#owed };
  }

  /** The origin's answer, or the refusal if it does not come in time. */
  bound<Reply>(question: Question<Reply>): Eventual<Reply> {
    if (this.#isCrowded()) return this.#wait(question, undefined);
    const reply = question.ask();
    return isPromise(reply) ? this.#wait(question, reply) : reply;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #wait<Reply>(
    { call, bytes, ask, refusal, dispose }: Question<Reply>,
    asked: Promise<Reply> | undefined,
  ): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      let isRefused = false;
      const follow = (reply: Promise<Reply>): void => {
        owed.ask = undefined;
        reply.then(
          (value) => {
            if (isRefused) {
              dispose?.(value);
              this.#settled(owed.bytes);
            } else {
              this.#waiting.delete(owed);
              resolve(value);
            }
          },
          (error: unknown) => {
            if (isRefused) this.#settled(owed.bytes);
            else {
              this.#waiting.delete(owed);
              reject(error);
            }
          },
        );
      };
      const owed: Owed = {
        call,
        bytes,
        sinceMs: this.#options.clock.now(),
        refuse: () => {
          isRefused = true;
          resolve(refusal);
        },
        ask: () => follow(Promise.resolve().then(ask)),
      };
      this.#waiting.add(owed);
      if (asked === undefined) this.#parked.add(owed);
      else follow(asked);
      if (this.#timer === undefined) this.#schedule();
    });
  }

  #isCrowded(): boolean {
    if (this.#awaySinceMs === undefined) return false;
    return this.#owed >= limits.refusedCalls || this.#owedBytes >= limits.refusedBytes;
  }

  #settled(bytes: number): void {
    this.#owed--;
    this.#owedBytes -= bytes;
    this.#askParked();
  }

  #askParked(): void {
    for (const owed of this.#parked) {
      if (this.#isCrowded()) return;
      this.#parked.delete(owed);
      owed.ask?.();
    }
  }

  /** Looks again when the oldest call has waited long enough, or when it is time to see whether the origin is there. */
  #schedule(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const [oldest] = this.#waiting;
    if (oldest === undefined || this.#isClosed) return;
    const { clock } = this.#options;
    const due = this.#awaySinceMs === undefined ? clock.now() + probeMs : this.#refusedAt(oldest, this.#awaySinceMs);
    this.#timer = clock.after(Math.max(0, due - clock.now()), () => this.#look());
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = this.#options.clock.now();
    for (const owed of this.#waiting) {
      if (this.#awaySinceMs === undefined) {
        if (owed.sinceMs + probeMs <= nowMs) this.#probe(owed.call);
        break;
      }
      if (this.#refusedAt(owed, this.#awaySinceMs) > nowMs) break;
      this.#refuse(owed);
    }
    this.#schedule();
  }

  #refusedAt(owed: Owed, awaySinceMs: number): number {
    return Math.max(owed.sinceMs, awaySinceMs) + this.#options.failAfterMs;
  }

  #refuse(owed: Owed): void {
    this.#waiting.delete(owed);
    this.#refused++;
    if (!this.#parked.delete(owed)) {
      this.#owed++;
      this.#owedBytes += owed.bytes;
    }
    owed.refuse();
  }

  /** Silence shows that the origin is away; an answer may be what was last known (filesystem-facts.ts), and shows nothing. */
  #probe(call: fs.Call): void {
    if (this.#isProbing) return;
    this.#isProbing = true;
    const { presence, probe } = this.#options;
    const done = (): void => {
      this.#isProbing = false;
    };
    const asked = presence.bridge<unknown>(
      'outage probe',
      () => probe(call),
      () => true,
    );
    if (isPromise(asked)) asked.then(done, done);
    else done();
  }
}
