/**
 * Which source port the next attempt to connect binds.
 *
 * After a loss the old port is tried first while a non-idempotent call is unanswered: servers whose duplicate cache knows
 * clients by port recognise the second sending. It is bound with the old address too, since a wildcard would collide with every
 * other socket of that port; if somebody has it all the same, it is tried a few times and then given up. With `privileged`, only ports 512 to 1023 are used, as rresvport does, from a
 * random one downwards.
 */
import type { Random } from '../base/mod.ts';

const lowest = 512;
const count = 512;
/** Ports tried at once before the attempt counts as failed. */
const triesAtOnce = 64;
/** Tries of the old port before another will do. */
const keptTries = 4;

export class SourcePort {
  readonly privileged: boolean;
  readonly #random: Random;
  #previous: { readonly address: string; readonly port: number } | undefined;
  #offered: number | undefined;
  #next = 0;
  #tries = 0;

  constructor(privileged: boolean, random: Random) {
    this.privileged = privileged;
    this.#random = random;
    this.#next = random.uint32() % count;
  }

  /** What to bind; without a port, any. */
  offer(keep: boolean): { readonly port?: number; readonly address?: string } {
    const previous = this.#previous;
    if (previous !== undefined && (keep || this.privileged)) {
      this.#offered = previous.port;
      return previous;
    }
    if (!this.privileged) {
      this.#offered = undefined;
      return {};
    }
    this.#next = (this.#next + count - 1) % count;
    this.#offered = lowest + this.#next;
    return { port: this.#offered };
  }

  established(address: string | undefined, port: number | undefined): void {
    this.#previous = address === undefined || port === undefined ? undefined : { address, port };
    this.#tries = 0;
  }

  /** The port offered could not be had: try another `now`, or the next one `later`; `no` if no port had been offered. */
  taken(): 'now' | 'later' | 'no' {
    if (this.#offered === undefined) return 'no';
    this.#tries++;
    if (this.#offered === this.#previous?.port) {
      if (this.#tries < keptTries) return 'later';
      this.#previous = undefined;
      return 'now';
    }
    if (this.#tries % triesAtOnce !== 0) return 'now';
    this.#next = this.#random.uint32() % count;
    return 'later';
  }
}
