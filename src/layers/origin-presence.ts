/**
 * Whether the origin is away, for the caches that then go on with what they last knew (docs/decisions/0008-origin-away.md).
 *
 *              connection lost with calls owed, or a refresh is owed and nothing was received for `patienceMs`
 *      here  ------------------------------------------------------------------------------------------>  away (since)
 *        ^                                                                                                  |
 *        +------------------------------------------- any reply --------------------------------------------+
 *
 *      refresh of what is not held    the origin's answer, whenever it comes
 *      refresh of what is held        here: the origin's answer, or what is held if it goes away meanwhile
 *                                     away: what is held, at once; the origin is asked behind the caller's back
 *      bridge                         the same over layers that may answer by themselves: their answer is no sign of the origin
 *
 * Invariants: while the origin answers, nothing but its answer is given. While it is away one refresh of a kind is under way, and
 * not more than `refreshesMaximum` in all; there is always one, so that its reply ends the absence. One timer, only while
 * somebody waits.
 */
import { type Clock, type Eventual, isPromise, type Log, silentLog, type Timer } from '../base/mod.ts';

export interface OriginPresenceOptions {
  readonly clock: Clock;
  readonly log?: Log | undefined;
  /** How long the origin may owe an answer and be silent. */
  readonly patienceMs?: number | undefined;
  /** All that was received from the origin: large replies take their time on a thin link. */
  readonly receivedBytes?: (() => number) | undefined;
}

export interface OriginPresenceStats {
  readonly away: boolean;
  /** Milliseconds since 1970; absent while the origin is there. */
  readonly sinceMs?: number;
  /** Answers that were given though their time had run out. */
  readonly staleAnswers: number;
}

const defaultPatienceMs = 1_000;
/** Each is a call that the client keeps; one reply is enough to know that the origin is back. */
const refreshesMaximum = 64;

export class OriginPresence {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #patienceMs: number;
  readonly #received: () => number;
  /** Keys of refreshes under way. */
  readonly #refreshing = new Set<string>();
  /** To be called when the origin goes away: callers that wait for it and could do without. */
  readonly #waiting = new Set<() => void>();
  readonly #observers: ((isAway: boolean) => void)[] = [];
  #timer: Timer | undefined;
  #quietSinceMs = 0;
  #receivedBytes = 0;
  #awaySinceMs: number | undefined;
  #staleAnswers = 0;
  readonly #answered = (): void => this.replied();

  constructor({ clock, log, patienceMs, receivedBytes }: OriginPresenceOptions) {
    this.#clock = clock;
    this.#log = log ?? silentLog;
    this.#patienceMs = patienceMs ?? defaultPatienceMs;
    this.#received = receivedBytes ?? (() => 0);
  }

  get isAway(): boolean {
    return this.#awaySinceMs !== undefined;
  }

  /** Has `observer` told whenever the origin went away or came back, after that is so. */
  observe(observer: (isAway: boolean) => void): void {
    this.#observers.push(observer);
  }

  stats(): OriginPresenceStats {
    const staleAnswers = this.#staleAnswers;
    if (this.#awaySinceMs === undefined) return { away: false, staleAnswers };
    return { away: true, sinceMs: this.#awaySinceMs, staleAnswers };
  }

  /** A reply came, to whatever call. */
  replied(): void {
    if (this.#waiting.size > 0) this.#quietSinceMs = this.#clock.now();
    if (this.#awaySinceMs === undefined) return;
    const awayMs = Math.round(this.#clock.wallTimeMs() - this.#awaySinceMs);
    this.#awaySinceMs = undefined;
    this.#log.info({ awayMs, staleAnswers: this.#staleAnswers }, 'the origin is back: what is known is checked again');
    for (const observer of this.#observers) observer(false);
  }

  /** The origin cannot be reached, or is silent. */
  lost(reason: string): void {
    const isNews = this.#awaySinceMs === undefined;
    if (isNews) {
      this.#awaySinceMs = this.#clock.wallTimeMs();
      this.#log.warn({ reason }, 'the origin is away: what is known and cached is served, the rest waits');
    }
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const goOn of [...this.#waiting]) goOn();
    if (isNews) for (const observer of this.#observers) observer(true);
  }

  /**
   * Asks the origin for what `held` answers meanwhile (undefined: nothing is held). Refreshes of the same thing for the same
   * caller have the same key.
   */
  refresh<Reply>(key: string, ask: () => Eventual<Reply>, held: () => Reply | undefined): Eventual<Reply> {
    const known = held();
    if (known === undefined) return ask();
    if (this.#awaySinceMs !== undefined) return this.#askBehind(key, ask, known, this.#answered);
    const asked = ask();
    return isPromise(asked) ? this.#await(key, asked, held, this.#answered) : asked;
  }

  /** As `refresh`, for what lies over caches: an answer that one of them gave says nothing about the origin. */
  bridge<Reply>(key: string, ask: () => Eventual<Reply>, held: () => Reply | undefined): Eventual<Reply> {
    const known = held();
    if (known === undefined) return ask();
    if (this.#awaySinceMs !== undefined) return this.#askBehind(key, ask, known, nothing);
    const asked = ask();
    return isPromise(asked) ? this.#await(key, asked, held, nothing) : asked;
  }

  #askBehind<Reply>(key: string, ask: () => Eventual<Reply>, known: Reply, answered: () => void): Reply {
    if (!this.#refreshing.has(key) && this.#refreshing.size < refreshesMaximum) {
      const asked = ask();
      if (!isPromise(asked)) {
        answered();
        return asked;
      }
      this.#follow(key, asked, answered);
    }
    this.#staleAnswers++;
    return known;
  }

  #await<Reply>(
    key: string,
    asked: Promise<Reply>,
    held: () => Reply | undefined,
    answered: () => void,
  ): Promise<Reply> {
    this.#follow(key, asked, answered);
    return new Promise<Reply>((resolve, reject) => {
      const goOn = (): void => {
        // A change of our own may have dropped it meanwhile: then only the origin knows.
        const known = held();
        if (known === undefined) return;
        this.#waiting.delete(goOn);
        this.#staleAnswers++;
        resolve(known);
      };
      asked.then(resolve, reject).finally(() => this.#stopWaiting(goOn));
      this.#waiting.add(goOn);
      if (this.#timer !== undefined) return;
      this.#quietSinceMs = this.#clock.now();
      this.#receivedBytes = this.#received();
      this.#timer = this.#clock.after(this.#patienceMs, () => this.#look());
    });
  }

  /** Takes note of what becomes of a refresh; its caller, or nobody, sees the error. */
  #follow(key: string, asked: Promise<unknown>, answered: () => void): void {
    this.#refreshing.add(key);
    asked.then(
      () => {
        this.#refreshing.delete(key);
        answered();
      },
      () => this.#refreshing.delete(key),
    );
  }

  #stopWaiting(goOn: () => void): void {
    this.#waiting.delete(goOn);
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.now();
    const receivedBytes = this.#received();
    if (receivedBytes !== this.#receivedBytes) this.#quietSinceMs = nowMs;
    this.#receivedBytes = receivedBytes;
    const restMs = this.#quietSinceMs + this.#patienceMs - nowMs;
    if (restMs > 0) this.#timer = this.#clock.after(restMs, () => this.#look());
    else this.lost(`nothing was received for ${Math.round(nowMs - this.#quietSinceMs)} ms`);
  }
}

const nothing = (): void => {};
