/**
 * What happens in the daemon, in order, to whoever listens; the last of it is kept, so that a client whose connection broke goes on where
 * it was.
 *
 *     tell ──► number, time ──► ring of limits.daemonEvents ──► listeners
 *
 * Invariant: numbers grow by one. A listener that throws is a bug of its own and keeps nobody else from hearing.
 */
import { type Clock, type Log, limits } from '../../base/mod.ts';
import type { DaemonEvent } from '../contract.ts';

export type EventText = Omit<DaemonEvent, 'number' | 'time'>;
type Listener = (event: DaemonEvent) => void;

export class ManagerEvents {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #ring: DaemonEvent[] = [];
  readonly #listeners = new Set<Listener>();
  #number = 0;

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  tell(text: EventText): void {
    const time = new Date(this.#clock.wallTimeMs()).toISOString();
    const event: DaemonEvent = { number: ++this.#number, time, ...text };
    this.#ring.push(event);
    if (this.#ring.length > limits.daemonEvents) this.#ring.shift();
    for (const listener of this.#listeners) this.#give(listener, event);
  }

  /** `after`: events with larger numbers that are still kept are given first, at once. */
  subscribe(listener: Listener, after?: number): () => void {
    if (after !== undefined) for (const event of this.#ring) if (event.number > after) this.#give(listener, event);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #give(listener: Listener, event: DaemonEvent): void {
    try {
      listener(event);
    } catch (error) {
      this.#log.error({ error: String(error), event: event.number }, 'a listener to the daemon’s events failed');
    }
  }
}
