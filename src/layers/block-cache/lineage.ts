/**
 * The stamps that our own changes gave a file, so that attributes seen in the middle of them are not taken for somebody
 * else's change: with 16 writes in flight, replies and attributes come in any order.
 *
 * Invariants: a stamp is known only if a chain of our own hops leads to it from a stamp that the cached version stood for;
 * both lists are bounded; what is known expires some time after our last change.
 *
 *     version's stamp ──hop──> known ──hop──> known        pending: hops whose `from` is not known yet
 */

import type { CachedFile } from '../../cache/mod.ts';
import { type FileStamp, sameStamp } from '../../vfs/mod.ts';

const mostKnown = 64;
const mostPending = 256;
const expiryMs = 30_000;

interface Hop {
  readonly from: FileStamp;
  readonly to: FileStamp;
}

export class Lineage {
  #known: FileStamp[] = [];
  #pending: Hop[] = [];
  #lastHopMs = 0;

  /** One of our changes moved the file from one stamp to the other. True: the cached version stands for that, or for what came after. */
  hop(cached: CachedFile, from: FileStamp, to: FileStamp, nowMs: number): boolean {
    this.#expire(nowMs);
    this.#lastHopMs = nowMs;
    const reached = cached.restamp(from, to);
    if (!reached && !this.#has(from)) {
      if (this.#pending.length < mostPending) this.#pending.push({ from, to });
      return false;
    }
    this.#add(from);
    this.#add(to);
    this.#settlePending();
    return reached;
  }

  /** Whether the stamp is one that our own changes produced or began with. */
  knows(stamp: FileStamp, nowMs: number): boolean {
    this.#expire(nowMs);
    return this.#has(stamp);
  }

  /** The stamp that the cached version stands for now, if it came from one of our changes. */
  current(cached: CachedFile): FileStamp | undefined {
    return this.#known.findLast((stamp) => cached.matches(stamp));
  }

  /** Nothing of ours is under way any more: hops that do not connect show somebody else's change. */
  quiet(): void {
    this.#pending = [];
  }

  clear(): void {
    this.#known = [];
    this.#pending = [];
  }

  #settlePending(): void {
    for (let at = 0; at < this.#pending.length; ) {
      const hop = this.#pending[at]!;
      if (!this.#has(hop.from)) {
        at++;
        continue;
      }
      this.#pending.splice(at, 1);
      this.#add(hop.to);
      at = 0;
    }
  }

  #has(stamp: FileStamp): boolean {
    return this.#known.some((other) => sameStamp(other, stamp));
  }

  #add(stamp: FileStamp): void {
    if (this.#has(stamp)) return;
    this.#known.push(stamp);
    if (this.#known.length > mostKnown) this.#known.shift();
  }

  #expire(nowMs: number): void {
    if (this.#known.length > 0 && nowMs - this.#lastHopMs > expiryMs) this.#known = [];
  }
}
