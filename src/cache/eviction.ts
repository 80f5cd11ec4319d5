/**
 * Which frame of a set makes room, under the set's lock.
 *
 *   free ─► of a dead version ─► beyond its owner's quota ─► the claimer's own, if its quota is full ─► where the block before went, if cold
 *        ─► the clock: each frame has as many rounds as its priority gave it when it was touched last ─► pinned, if there is no other
 *
 * Priority is a head start of rounds, no more: what nobody touches goes after 1 (low), 2 (normal) or 4 (high) rounds of the hand, each of
 * which evicts 16 blocks of the set at most. A set whose frames are all pinned gives up the pin that the clock finds.
 */
import { type Accounts, cool, type Holder, roundsOf } from './accounts.ts';
import { recordWords, setWords, ways } from './geometry.ts';
import { type CacheMemory, recordWord, tagWord } from './memory.ts';

export class Eviction {
  private readonly memory: CacheMemory;
  private readonly accounts: Accounts;

  constructor(memory: CacheMemory, accounts: Accounts) {
    this.memory = memory;
    this.accounts = accounts;
  }

  /** -1: all are being written. */
  victim(set: number, nearWay: number, holder: Holder): number {
    const idle = this.idle(set);
    if (idle === 0) return -1;
    const near = nearWay >= 0 ? idle & (1 << nearWay) : 0;
    const free = this.select(idle, (way) => this.memory.tags[set * setWords + way + tagWord.version] === 0);
    if (free !== 0) return lowest((near & free) !== 0 ? near : free);
    const dead = this.select(idle, (way) => this.isDead(set, way));
    if (dead !== 0) return lowest(dead);
    const beyond = this.select(idle, (way) => this.accounts.isBeyond(set * ways + way));
    if (beyond !== 0) return lowest((near & beyond) !== 0 ? near : beyond);
    const loose = this.select(idle, (way) => !this.isKept(set, way));
    if (loose === 0) return this.clock(set, idle);
    if (this.accounts.isFull(holder.number)) {
      const own = this.select(loose, (way) => this.accounts.isOwn(set * ways + way, holder.number));
      if (own !== 0) return this.clock(set, own);
    }
    if ((near & loose) !== 0 && this.memory.referenced[set * ways + nearWay] === 0) return nearWay;
    return this.clock(set, loose);
  }

  /** A version is dead when its record has another one. */
  isDead(set: number, way: number): boolean {
    const { tags, records } = this.memory;
    const at = set * setWords + way;
    return records[tags[at]! * recordWords + recordWord.version] !== tags[at + tagWord.version];
  }

  private isKept(set: number, way: number): boolean {
    return this.accounts.isKept(set * ways + way, this.memory.tags[set * setWords + way]!);
  }

  /** The ways that nobody is writing to. */
  private idle(set: number): number {
    let mask = 0;
    for (let way = 0; way < ways; way++) if (this.memory.busy[set * ways + way] === 0) mask |= 1 << way;
    return mask;
  }

  private select(mask: number, want: (way: number) => boolean): number {
    let chosen = 0;
    for (let way = 0; way < ways; way++) if ((mask & (1 << way)) !== 0 && want(way)) chosen |= 1 << way;
    return chosen;
  }

  /** Among the ways of a mask that is not empty. */
  private clock(set: number, mask: number): number {
    const { referenced, hands } = this.memory;
    for (let turn = 0; turn <= roundsOf.high * ways + ways; turn++) {
      const way = hands[set]! % ways;
      hands[set] = (way + 1) % ways;
      if ((mask & (1 << way)) === 0) continue;
      const frame = set * ways + way;
      if (referenced[frame] === 0) return way;
      cool(referenced, frame);
    }
    return lowest(mask);
  }
}

function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}
