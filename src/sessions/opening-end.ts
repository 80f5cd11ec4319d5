/**
 * A session that is told to end while it is opened: it takes nothing any more that its next life may want, and gives back what it has.
 *
 *   origin ──┬──► lease ──► log ──┬──► replies ──┬──► listeners
 *            └────────────────────┴──────────────┴── asked here: if it is to end, what is there is closed, and OpeningEnded thrown
 *
 * An NFS origin that does not answer is not waited for: what comes of it is closed when it comes (`rest`).
 */
import type { LeftBehind } from './write-back-status.ts';

export class OpeningEnded extends Error {
  /** In the log, if it was open already. */
  readonly left: LeftBehind | undefined;
  /** False: some part could not be closed. */
  readonly isClean: boolean;
  /** Still under way, and harmless: it holds nothing, and needs its timers to end. Never rejects. */
  readonly rest: Promise<unknown>;

  constructor(left?: LeftBehind, isClean = true, rest: Promise<unknown> = Promise.resolve()) {
    super('the session ended while it was opened');
    this.left = left;
    this.isClean = isClean;
    this.rest = rest;
  }
}

export function refuseIfEnded(ending: AbortSignal | undefined): void {
  if (ending?.aborted === true) throw new OpeningEnded();
}

/** What is opened, or OpeningEnded at once. `closeLate`: for what is open when nobody wants it any more. */
export function unlessEnded<Opened>(
  opening: Promise<Opened>,
  ending: AbortSignal | undefined,
  closeLate: (opened: Opened) => unknown,
): Promise<Opened> {
  if (ending === undefined) return opening;
  return new Promise((resolve, reject) => {
    const end = (): void => {
      const rest = opening.then(closeLate).catch(() => {});
      reject(new OpeningEnded(undefined, true, rest));
    };
    if (ending.aborted) {
      end();
      return;
    }
    ending.addEventListener('abort', end, { once: true });
    opening.then(resolve, reject).finally(() => ending.removeEventListener('abort', end));
  });
}
