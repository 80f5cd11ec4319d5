/**
 * Whether a prefetch has become a demand while it is under way, because somebody came who waits for it: told to whoever still has it
 * in a queue. Made anew for each answer that may be joined; it is raised once and never lowered.
 *
 *     prefetch ──call.urgency──> layers ──> queue of the connection
 *     demand joins ──raise()──────────────────> moves to the queue of demand, if it is not sent yet
 */
export class Urgency {
  #isRaised = false;
  #listeners: (() => void)[] = [];

  get isRaised(): boolean {
    return this.#isRaised;
  }

  raise(): void {
    if (this.#isRaised) return;
    this.#isRaised = true;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  /** At once if it is raised already. */
  onRaise(listener: () => void): void {
    if (this.#isRaised) listener();
    else this.#listeners.push(listener);
  }

  /** Raises `other` with it. */
  raises(other: Urgency): void {
    this.onRaise(() => other.raise());
  }
}
