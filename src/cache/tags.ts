/**
 * The tag table: which frame holds which block, which of its sectors are valid and what they sum to.
 *
 *   free ──claim──► claimed (busy bits) ──publish──► valid ──drop / claim by another──► ...
 *                        └────release────► free if nothing in it is valid
 *
 * Lookups take no lock: the caller reads data between two looks at the frame's generation, or verifies checksums. All
 * changes are made under the set's lock. A frame with a busy sector belongs to its writer and cannot be reused.
 */
import type { Accounts, Holder } from './accounts.ts';
import { Eviction } from './eviction.ts';
import { setWords, ways } from './geometry.ts';
import {
  bitCount,
  type CacheMemory,
  checksumIndex,
  controlWord,
  type OwnMemory,
  tagWord,
  validIndex,
} from './memory.ts';
import type { SpinLocks } from './spin-lock.ts';

/** A version of a file, as tags name it. */
export interface Owner {
  readonly slot: number;
  readonly version: number;
}

export interface Claim {
  readonly set: number;
  readonly way: number;
  readonly block: number;
  readonly mask: number;
  readonly evicted: boolean;
}

export class Tags {
  private readonly memory: CacheMemory;
  private readonly locks: SpinLocks;
  private readonly accounts: Accounts;
  readonly eviction: Eviction;

  constructor(memory: CacheMemory, locks: SpinLocks, accounts: Accounts) {
    this.memory = memory;
    this.locks = locks;
    this.accounts = accounts;
    this.eviction = new Eviction(memory, accounts);
  }

  /** The way that holds the block, or -1. */
  find(set: number, owner: Owner, block: number): number {
    const tags = this.memory.tags;
    const base = set * setWords;
    const { slot, version } = owner;
    for (let way = 0; way < ways; way++) {
      const at = base + way;
      if (tags[at + tagWord.version] === version && tags[at + tagWord.block] === block && tags[at] === slot) return way;
    }
    return -1;
  }

  validMask(set: number, way: number): number {
    return this.memory.tagHalves[validIndex(set, way)]!;
  }

  /**
   * Makes the sectors of `wanted` this caller's to write, in a new frame if the block has none: those that are not being
   * written by another and, unless `replace`, not valid already. `nearWay` is where the block before went. Undefined: nothing to do.
   */
  claim(
    set: number,
    owner: Owner,
    block: number,
    wanted: number,
    replace: boolean,
    nearWay: number,
    holder: Holder,
  ): Claim | undefined {
    this.locks.acquire(set);
    try {
      return this.claimLocked(set, owner, block, wanted, replace, nearWay, holder);
    } finally {
      this.locks.release(set);
    }
  }

  /** The claimed sectors are written: they become valid if `allowed()` still holds under the lock. */
  publish(claim: Claim, owner: Owner, sums: Uint32Array, allowed: () => boolean): boolean {
    const { set, way, mask } = claim;
    const memory = this.memory;
    this.locks.acquire(set);
    try {
      const frame = set * ways + way;
      const good = this.holds(set, way, owner, claim.block) && (memory.busy[frame]! & mask) === mask && allowed();
      if (good) {
        const at = checksumIndex(set, way);
        for (let sector = 0, next = 0; sector < ways; sector++) {
          if (mask & (1 << sector)) memory.tags[at + sector] = sums[next++]!;
        }
        this.setValid(set, way, memory.tagHalves[validIndex(set, way)]! | mask);
      }
      memory.own.busy[frame]! &= ~mask;
      memory.busy[frame]! &= ~mask;
      if (!good) this.freeIfEmpty(set, way);
      return good;
    } finally {
      this.locks.release(set);
    }
  }

  /**
   * The thread whose claims these are is known to have ended, its disk writes with it: others may write those sectors, and the frame is
   * free if nothing in it is valid. Answers in which sets that was.
   */
  lost({ busy }: OwnMemory): number[] {
    const { memory, locks } = this;
    const sets: number[] = [];
    for (let frame = 0; frame < busy.length; frame++) {
      const mask = busy[frame]!;
      if (mask === 0) continue;
      const set = Math.floor(frame / ways);
      locks.acquire(set);
      busy[frame] = 0;
      memory.busy[frame]! &= ~mask;
      this.freeIfEmpty(set, frame % ways);
      locks.release(set);
      sets.push(set);
    }
    return sets;
  }

  /** Drops sectors of a block and their sums (a flipped valid bit must not bring one back). True if any was valid. */
  drop(set: number, owner: Owner, block: number, mask: number): boolean {
    this.locks.acquire(set);
    try {
      const way = this.find(set, owner, block);
      return way >= 0 && this.dropLocked(set, way, mask);
    } finally {
      this.locks.release(set);
    }
  }

  /** Drops one sector whose bytes did not verify, unless it was changed since `sum` was looked up. */
  dropUnverified(set: number, way: number, owner: Owner, block: number, sector: number, sum: number): boolean {
    this.locks.acquire(set);
    try {
      if (!this.holds(set, way, owner, block)) return false;
      if (this.memory.tags[checksumIndex(set, way) + sector] !== sum) return false;
      return this.dropLocked(set, way, 1 << sector);
    } finally {
      this.locks.release(set);
    }
  }

  /** The sectors of `mask` verified, if the frame is still as it was at `generation`. */
  setVerified(set: number, way: number, mask: number, generation: number): void {
    const frame = set * ways + way;
    this.locks.acquire(set);
    if (Atomics.load(this.memory.generation, frame) === generation) {
      this.memory.verified[frame]! |= mask & this.validMask(set, way);
    }
    this.locks.release(set);
  }

  clearVerified(set: number, way: number, mask: number): void {
    this.locks.acquire(set);
    this.memory.verified[set * ways + way]! &= ~mask;
    this.locks.release(set);
  }

  private claimLocked(
    set: number,
    owner: Owner,
    block: number,
    wanted: number,
    replace: boolean,
    nearWay: number,
    holder: Holder,
  ): Claim | undefined {
    const memory = this.memory;
    let way = this.find(set, owner, block);
    let evicted = false;
    if (way < 0) {
      way = this.eviction.victim(set, nearWay, holder);
      if (way < 0) return undefined;
      evicted = memory.tags[set * setWords + way + tagWord.version] !== 0;
      // The index file has the block still: a write of it must find that out before the claimer has told.
      if (evicted) Atomics.store(memory.dirtySets, set, 1);
      if (evicted && !this.eviction.isDead(set, way)) this.accounts.evicted(set * ways + way);
      this.takeFrame(set, way, owner, block);
      this.accounts.take(set * ways + way, holder);
    }
    const frame = set * ways + way;
    let mask = wanted & ~memory.busy[frame]!;
    if (replace) this.dropLocked(set, way, wanted, false);
    else mask &= ~this.validMask(set, way);
    if (mask === 0) {
      this.freeIfEmpty(set, way);
      return undefined;
    }
    Atomics.add(memory.generation, frame, 1);
    memory.busy[frame]! |= mask;
    memory.own.busy[frame]! |= mask;
    memory.verified[frame]! &= ~mask;
    if (memory.referenced[frame]! < holder.rounds) memory.referenced[frame] = holder.rounds;
    return { set, way, block, mask, evicted };
  }

  private takeFrame(set: number, way: number, owner: Owner, block: number): void {
    const memory = this.memory;
    const at = set * setWords + way;
    if (memory.tags[at + tagWord.version] === 0) Atomics.add(memory.control, controlWord.framesUsed, 1);
    this.setValid(set, way, 0);
    memory.verified[set * ways + way] = 0;
    memory.tags.fill(0, checksumIndex(set, way), checksumIndex(set, way) + ways);
    memory.tags[at + tagWord.version] = owner.version;
    memory.tags[at + tagWord.slot] = owner.slot;
    memory.tags[at + tagWord.block] = block;
    Atomics.add(memory.generation, set * ways + way, 1);
  }

  holds(set: number, way: number, owner: Owner, block: number): boolean {
    const tags = this.memory.tags;
    const at = set * setWords + way;
    return (
      tags[at + tagWord.version] === owner.version &&
      tags[at + tagWord.block] === block &&
      tags[at + tagWord.slot] === owner.slot
    );
  }

  private dropLocked(set: number, way: number, mask: number, free = true): boolean {
    const memory = this.memory;
    const valid = this.validMask(set, way);
    if ((valid & mask) === 0) return false;
    this.setValid(set, way, valid & ~mask);
    memory.verified[set * ways + way]! &= ~mask;
    const at = checksumIndex(set, way);
    for (let sector = 0; sector < ways; sector++) if (mask & (1 << sector)) memory.tags[at + sector] = 0;
    if (free) this.freeIfEmpty(set, way);
    return true;
  }

  private freeIfEmpty(set: number, way: number): void {
    const memory = this.memory;
    const at = set * setWords + way;
    if (memory.busy[set * ways + way] !== 0 || this.validMask(set, way) !== 0) return;
    if (memory.tags[at + tagWord.version] === 0) return;
    memory.tags[at + tagWord.version] = 0;
    memory.tags[at + tagWord.slot] = 0;
    memory.tags[at + tagWord.block] = 0;
    Atomics.sub(memory.control, controlWord.framesUsed, 1);
    this.accounts.free(set * ways + way);
  }

  private setValid(set: number, way: number, mask: number): void {
    const at = validIndex(set, way);
    const before = this.memory.tagHalves[at]!;
    this.memory.tagHalves[at] = mask;
    const change = bitCount(mask) - bitCount(before);
    if (change !== 0) Atomics.add(this.memory.control, controlWord.sectorsValid, change);
  }
}
