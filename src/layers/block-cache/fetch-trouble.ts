/**
 * How it goes with what is fetched ahead of one file. A file that fails rests, so that others go on and the origin is not asked again
 * and again on nobody's behalf.
 *
 *     well ──failed──> resting ──> tried again ──failed, `mostRounds` times──> given up        came: well again
 *       └──gone (STALE, BADHANDLE)────────────────────────────────────────────────^
 *
 * Invariants: failures of requests that were under way together count once; rounds count, not time: an origin that does not answer
 * at all says nothing of the file.
 */
import { type Failure, Status } from '../../vfs/mod.ts';

const restMs = 5_000;
/** A minute of asking. */
const mostRounds = 12;
/** Fills in a row that kept nothing: more of the file would be fetched in vain. */
const mostVainFills = 8;

export class FetchTrouble {
  /** Requests of it that the origin keeps waiting. */
  stuckRequests = 0;
  #restUntilMs = 0;
  #rounds = 0;
  #vainFills = 0;
  #isLooking = false;
  #lookAgainMs = 0;

  isResting(nowMs: number): boolean {
    return this.stuckRequests > 0 || nowMs < this.#restUntilMs;
  }

  /** True: the file is not to be had. */
  failed(status: Failure, nowMs: number): boolean {
    if (status === Status.STALE || status === Status.BADHANDLE) return true;
    if (nowMs >= this.#restUntilMs) this.#rounds++;
    this.rest(nowMs);
    return this.#rounds >= mostRounds;
  }

  rest(nowMs: number): void {
    this.#restUntilMs = nowMs + restMs;
  }

  came(): void {
    this.#rounds = 0;
  }

  filled(isKept: boolean, nowMs: number): void {
    this.#vainFills = isKept ? 0 : this.#vainFills + 1;
    if (this.#vainFills < mostVainFills) return;
    this.#vainFills = 0;
    this.rest(nowMs);
  }

  /** Its state is to be asked for: once at a time, however long the origin takes. Answered by `looked`. */
  mayLook(nowMs: number): boolean {
    if (this.#isLooking || nowMs < this.#lookAgainMs || this.isResting(nowMs)) return false;
    this.#isLooking = true;
    return true;
  }
  looked(nowMs: number): void {
    this.#isLooking = false;
    this.#lookAgainMs = nowMs + restMs;
  }

  /** Somebody wants it anew: what failed before is tried again. */
  reset(): void {
    this.#restUntilMs = 0;
    this.#rounds = 0;
    this.#vainFills = 0;
  }
}
