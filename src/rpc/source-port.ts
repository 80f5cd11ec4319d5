/**
 * Which source port the next attempt to connect binds.
 *
 * After a loss the old port is tried first while a non-idempotent call is unanswered: servers whose duplicate cache knows
 * clients by port recognise the second sending. With `privileged`, only ports 512 to 1023 are used, as rresvport does, from a
 * random one downwards.
 */
import type { Random } from '../base/mod.ts';

const lowest = 512;
const count = 512;
/** Ports tried at once before the attempt counts as failed. */
const triesAtOnce = 64;

export class SourcePort {
  readonly privileged: boolean;
  readonly #random: Random;
  #previous: number | undefined;
  #offered: number | undefined;
  #next = 0;
  #tries = 0;

  constructor(privileged: boolean, random: Random) {
    this.privileged = privileged;
    this.#random = random;
    this.#next = random.uint32() % count;
  }

  /** The port to bind; undefined for any. */
  offer(keep: boolean): number | undefined {
    if (this.#previous !== undefined && (keep || this.privileged)) {
      this.#offered = this.#previous;
    } else if (this.privileged) {
      this.#next = (this.#next + count - 1) % count;
      this.#offered = lowest + this.#next;
    } else {
      this.#offered = undefined;
    }
    return this.#offered;
  }

  established(port: number | undefined): void {
    this.#previous = port;
    this.#tries = 0;
  }

  /** The port offered could not be had: whether another should be tried at once. */
  taken(): boolean {
    if (this.#offered === undefined) return false;
    if (this.#offered === this.#previous) this.#previous = undefined;
    this.#tries++;
    if (this.#tries % triesAtOnce !== 0) return true;
    this.#next = this.#random.uint32() % count;
    return false;
  }
}
