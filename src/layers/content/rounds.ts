/** Counts the round trips of something that is on its way, so that whoever waits for it can give up after some. */
export class Rounds {
  #done = 0;
  #isOver = false;
  #waiting: { readonly until: number; readonly wake: () => void }[] = [];

  /** A round trip has ended. */
  next(): void {
    this.#done++;
    this.#wake();
  }

  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** Until it is over, or `most` more round trips have ended. */
  wait(most: number): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    return new Promise((wake) => {
      this.#waiting.push({ until: this.#done + most, wake });
    });
  }

  #wake(): void {
    const isDue = (until: number): boolean => this.#isOver || until <= this.#done;
    const due = this.#waiting.filter(({ until }) => isDue(until));
    this.#waiting = this.#waiting.filter(({ until }) => !isDue(until));
    for (const { wake } of due) wake();
  }
}
