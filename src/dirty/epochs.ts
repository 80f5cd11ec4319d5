/**
 * The epochs that are not drained, oldest first; the last one may be open.
 *
 *     open ──seal──► sealed ──SEAL record is in the log: `end` is known──► drained: forgotten
 */
import { assert } from '../base/mod.ts';
import type { EpochInfo, EpochNumber, FileNumber } from './contract.ts';

export class Epoch implements EpochInfo {
  readonly number: EpochNumber;
  firstMs: number;
  sealedMs: number | undefined;
  logBytes = 0;
  payloadBytes = 0;
  /** Address of its first record. */
  start: number;
  /** Past its SEAL record; undefined until that is in the log. */
  end: number | undefined;
  /** Files that it changed, each once. */
  readonly files: FileNumber[] = [];

  constructor(number: EpochNumber, firstMs: number, start: number) {
    this.number = number;
    this.firstMs = firstMs;
    this.start = start;
  }
}

export class Epochs {
  #list: Epoch[] = [];
  nextNumber = 1;
  drainedUpTo: EpochNumber = 0;

  /** The open one, made if need be. */
  open(wallMs: number, address: number): Epoch {
    const last = this.last;
    if (last !== undefined && last.sealedMs === undefined) return last;
    return this.#add(this.nextNumber, wallMs, address);
  }

  /** The one that a record belongs to whose place is before a SEAL that is on its way into the log. */
  beforeSeal(wallMs: number, address: number): Epoch {
    const last = this.last;
    return last !== undefined && last.end === undefined ? last : this.open(wallMs, address);
  }

  /** The epoch with this number, made if it comes after all others: later ones may be there since a record was to be written again. */
  at(number: EpochNumber, wallMs: number, address: number): Epoch {
    return this.find(number) ?? this.#add(number, wallMs, address);
  }

  #add(number: EpochNumber, wallMs: number, address: number): Epoch {
    const epoch = new Epoch(number, wallMs, address);
    this.#list.push(epoch);
    this.nextNumber = Math.max(this.nextNumber, number + 1);
    return epoch;
  }

  get first(): Epoch | undefined {
    return this.#list[0];
  }

  get last(): Epoch | undefined {
    return this.#list[this.#list.length - 1];
  }

  get count(): number {
    return this.#list.length;
  }

  find(number: EpochNumber): Epoch | undefined {
    for (let index = this.#list.length - 1; index >= 0; index--) {
      const epoch = this.#list[index]!;
      if (epoch.number === number) return epoch;
      if (epoch.number < number) return undefined;
    }
    return undefined;
  }

  /** Those with a higher number, oldest first. */
  after(number: EpochNumber): readonly Epoch[] {
    let index = this.#list.length;
    while (index > 0 && this.#list[index - 1]!.number > number) index--;
    return this.#list.slice(index);
  }

  newestSealed(): EpochNumber {
    const last = this.last;
    if (last === undefined) return 0;
    if (last.sealedMs !== undefined) return last.number;
    return this.count > 1 ? this.#list[this.#list.length - 2]!.number : 0;
  }

  /** As it is when it is looked at: a hundred thousand may wait, and a copy for each question would cost more than the answer. */
  all(): readonly Epoch[] {
    return this.#list;
  }

  /** Takes the oldest one off. */
  shift(): void {
    assert(this.first !== undefined, 'only an epoch that is there is drained');
    this.drainedUpTo = Math.max(this.drainedUpTo, this.first.number);
    this.#list.shift();
  }

  clear(): void {
    this.#list = [];
  }
}
