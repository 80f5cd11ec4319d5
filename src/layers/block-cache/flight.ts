/**
 * A range of one file on its way from the origin. Everybody who wants a block of it waits for the same flight.
 *
 * Invariants: the slices live as long as somebody holds the flight; each part keeps the attributes that its own READ
 * returned, because only they say which version the bytes are of; a flight settles exactly once and never rejects.
 *
 *     flying ──all parts here, or one failed──> settled ──cached, last holder gone──> slices released
 */

import type { FillTicket } from '../../cache/mod.ts';
import {
  type Attributes,
  type Call,
  type Failure,
  type FileStamp,
  type Payload,
  stampOfAttributes,
} from '../../vfs/mod.ts';
import { cut } from './slices.ts';

export interface Part {
  readonly offset: number;
  readonly count: number;
  readonly data: Payload;
  readonly attributes?: Attributes | undefined;
  readonly stamp: FileStamp | undefined;
  /** Absent if the file had no record in the cache: the bytes are not kept. */
  readonly ticket: FillTicket | undefined;
  readonly release?: (() => void) | undefined;
  /** As the READ's reply says it. */
  readonly link?: 'unused' | 'shared' | undefined;
}

export class Flight {
  readonly call: Call;
  readonly offset: number;
  readonly end: number;
  /** In order of their offsets once settled. */
  readonly parts: Part[] = [];
  readonly settled: Promise<void>;
  isSettled = false;
  /** A later READ must not join: a write of ours touched the range. */
  isDetached = false;
  failure: Failure | undefined;
  failureAttributes: Attributes | undefined;
  error: unknown;
  #holders = 1;
  #settle!: () => void;

  constructor(call: Call, offset: number, end: number) {
    this.call = call;
    this.offset = offset;
    this.end = end;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  land(): void {
    this.parts.sort((a, b) => a.offset - b.offset);
    this.isSettled = true;
    this.#settle();
  }

  add(part: Omit<Part, 'stamp'>): void {
    const stamp = part.attributes === undefined ? undefined : stampOfAttributes(part.attributes);
    this.parts.push({ ...part, stamp });
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders > 0) return;
    for (const part of this.parts) part.release?.();
  }

  /** Appends the slices of [offset, end) to `into`, without copying. False if the origin gave less. */
  slices(offset: number, end: number, into: Uint8Array[]): boolean {
    let at = offset;
    for (const part of this.parts) {
      const partEnd = part.offset + part.count;
      if (partEnd <= at || part.offset >= end) continue;
      if (part.offset > at) return false;
      const upTo = Math.min(partEnd, end);
      cut(part.data, at - part.offset, upTo - part.offset, into);
      at = upTo;
    }
    return at >= end;
  }

  /** The parts that [offset, end) is made of. */
  partsOf(offset: number, end: number): Part[] {
    return this.parts.filter((part) => part.offset < end && part.offset + part.count > offset);
  }
}
