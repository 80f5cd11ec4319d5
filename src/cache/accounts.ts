/**
 * Who occupies what: one row for each owner (a session), one word for each frame. All of it is in shared memory only; a cache that is
 * opened anew begins with nobody's frames, and each counts for whoever reads it next.
 *
 *   frame's word   pin (bit 15) | owner (12 bits)         0: nobody's      4095: fell out of its owner's quota, evicted first
 *
 *   nobody's ──read by an owner with room──► the owner's ──quota full: the hand's choice──► beyond ──evicted, or read by one with room
 *                                                └── pin: kept, as long as the file is pinned and there is room for pins
 *
 * Invariants: a row's frames are counted by whoever swapped the word, so they are exact but for a thread that is ended between the two
 * (one frame each time); an owner is over its quota by what its thread is claiming at most, and by what `mostSteps` leaves. Words may be of the frame's earlier block for a
 * moment (readers take no lock): then a block counts for another owner, and nothing worse. Any value of any word is safe.
 */
import type { OwnerStat } from './contract.ts';
import { frameBytes, ways } from './geometry.ts';
import { hashWords } from './hash.ts';
import {
  accountCount,
  accountCounterCount,
  accountWord,
  accountWords,
  type CacheMemory,
  controlWord,
  framePin,
} from './memory.ts';
import { SpinLocks } from './spin-lock.ts';

/** Bits of a frame's word that name its owner. */
const numberMask = accountCount - 1;
const nobody = 0;
const beyond = accountCount - 1;
const smallestQuota = ways;
/** Part of the frames that pins may keep. */
const pinnedShare = 0.5;
/** Frames that a hand passes at most for having been used, or pinned: then the next one goes. */
const mostPassed = 32;
/**
 * Frames that a hand looks at for one claim or touch, which may hold a set's lock: some 20 us. It passes each frame of an owner up to five
 * times before it goes, so an owner may be over its quota until the hand meets five of its frames at each claim: a 6000th of the cache.
 */
const mostSteps = 32_768;
const counterAt = { hits: 0, hitBytes: 1, misses: 2, fillBytes: 3 } as const;

/** What a view of a file brings along: whose it is, and how its blocks are kept. */
export interface Holder {
  readonly number: number;
  /** Rounds of its set's hand that a block survives without being touched. */
  readonly rounds: number;
  readonly isPinned: boolean;
}

export const roundsOf = { low: 1, normal: 2, high: 4 } as const;
export const nobodysHolder: Holder = { number: nobody, rounds: roundsOf.normal, isPinned: false };

export class Accounts {
  private readonly memory: CacheMemory;
  private readonly rowLock: SpinLocks;
  private readonly mostPinned: number;

  constructor(memory: CacheMemory, attachment: number) {
    this.memory = memory;
    this.rowLock = new SpinLocks(memory.control.subarray(controlWord.accountLock), attachment);
    this.mostPinned = Math.floor(memory.geometry.frameCount * pinnedShare);
  }

  /** The owner's number, its row made if needed; nobody's if there are too many. */
  enter(name: string): number {
    const { accounts } = this.memory;
    const [first, second] = nameWords(name);
    return this.locked(() => {
      let free = nobody;
      for (let number = 1; number < beyond; number++) {
        const at = number * accountWords;
        if (accounts[at + accountWord.isUsed] === 0) free ||= number;
        else if (this.isOf(number, first, second)) return number;
      }
      if (free === nobody) return nobody;
      const at = free * accountWords;
      this.wipe(free, Math.max(0, this.frames(free)));
      accounts[at + accountWord.name] = first;
      accounts[at + accountWord.name + 1] = second;
      Atomics.store(accounts, at + accountWord.isUsed, 1);
      return free;
    });
  }

  /** Its blocks become nobody's, what it pinned is not any more, and the number may be another's. */
  leave(number: number, name: string): void {
    const { recordPin, frameAccount } = this.memory;
    const [first, second] = nameWords(name);
    this.locked(() => {
      if (number === nobody || !this.isOf(number, first, second)) return;
      for (let slot = recordPin.indexOf(number); slot >= 0; slot = recordPin.indexOf(number, slot + 1)) {
        Atomics.compareExchange(recordPin, slot, number, 0);
      }
      // Pinned ones first: what loses its pin meanwhile is found among the others.
      for (const word of [number | framePin, number]) {
        for (let frame = frameAccount.indexOf(word); frame >= 0; frame = frameAccount.indexOf(word, frame + 1)) {
          this.swap(frame, word, nobody);
        }
      }
      // Whatever was not counted right must not be the next one's.
      this.wipe(number, 0);
    });
  }

  setQuota(number: number, bytes: number | undefined): void {
    if (number === nobody) return;
    const frames = bytes === undefined ? 0 : Math.max(smallestQuota, Math.floor(bytes / frameBytes));
    Atomics.store(this.memory.accounts, number * accountWords + accountWord.quota, Math.min(frames, 0x7fff_ffff));
    const patience = (roundsOf.high + 1) * Math.max(0, this.frames(number));
    this.trim(number, patience, (roundsOf.high + 4) * this.memory.geometry.frameCount);
  }

  stat(number: number, name: string): OwnerStat {
    const { accounts, accountCounters } = this.memory;
    const [first, second] = nameWords(name);
    const isThere = number !== nobody && this.isOf(number, first, second);
    const counter = (index: number): number => (isThere ? accountCounters[number * accountCounterCount + index]! : 0);
    const word = (index: number): number => (isThere ? Atomics.load(accounts, number * accountWords + index) : 0);
    const quota = word(accountWord.quota);
    return {
      quotaBytes: quota === 0 ? undefined : quota * frameBytes,
      occupiedBytes: Math.max(0, word(accountWord.frames)) * frameBytes,
      hits: counter(counterAt.hits),
      hitBytes: counter(counterAt.hitBytes),
      misses: counter(counterAt.misses),
      fillBytes: counter(counterAt.fillBytes),
      evictions: word(accountWord.evictions) >>> 0,
    };
  }

  hit(number: number, count: number): void {
    const counters = this.memory.accountCounters;
    const at = number * accountCounterCount;
    counters[at]! += 1;
    counters[at + counterAt.hitBytes]! += count;
  }

  miss(number: number): void {
    this.memory.accountCounters[number * accountCounterCount + counterAt.misses]! += 1;
  }

  filled(number: number, count: number): void {
    this.memory.accountCounters[number * accountCounterCount + counterAt.fillBytes]! += count;
  }

  /** A block of the file in `slot` was read. Takes no lock. */
  touch(frame: number, holder: Holder, slot: number): void {
    const { frameAccount, referenced } = this.memory;
    const word = frameAccount[frame]!;
    // One of the two that are no owner's.
    if (((word + 1) & numberMask) <= 1 && !this.adopt(frame, word, holder.number)) return;
    if (referenced[frame]! < holder.rounds) referenced[frame] = holder.rounds;
    if (holder.isPinned) this.pinTouched(frame, holder, slot);
  }

  /** The frame is for a block of `holder` now, as if it were touched: what gives way to it is another one. */
  take(frame: number, holder: Holder): void {
    if (holder.isPinned) this.makeRoomForPin();
    this.memory.referenced[frame] = holder.rounds;
    this.assign(frame, holder.number | (holder.isPinned ? framePin : 0));
    this.trim(holder.number, mostPassed, mostSteps, frame);
  }

  /** The frame is free. */
  free(frame: number): void {
    this.assign(frame, nobody);
  }

  /** The frame's block is evicted while its file still has it. */
  evicted(frame: number): void {
    const number = this.memory.frameAccount[frame]! & numberMask;
    if (number !== nobody && number !== beyond) this.countEviction(number);
  }

  isFull(number: number): boolean {
    const quota = this.quota(number);
    return quota !== 0 && this.frames(number) >= quota;
  }

  isBeyond(frame: number): boolean {
    return (this.memory.frameAccount[frame]! & numberMask) === beyond;
  }

  isOwn(frame: number, number: number): boolean {
    return (this.memory.frameAccount[frame]! & numberMask) === number;
  }

  /**
   * Whether a pin keeps the frame, whose file is in `slot`; asked when it might be evicted. What the file had before it was pinned gets its
   * pin now, if there is room for it; what it lost for its age it gets back when it is read.
   */
  isKept(frame: number, slot: number): boolean {
    const word = this.memory.frameAccount[frame]!;
    const isPinned = (word & framePin) !== 0;
    const isWanted = (this.memory.recordPin[slot] ?? 0) !== 0;
    if (isPinned === isWanted) return isPinned;
    if (isPinned) this.swap(frame, word, word & ~framePin);
    else if (!this.isBeyond(frame) && this.pinned() < this.mostPinned) return this.swap(frame, word, word | framePin);
    return false;
  }

  private adopt(frame: number, word: number, number: number): boolean {
    if (number === nobody) return (word & numberMask) === nobody;
    if (this.isFull(number)) return false;
    this.swap(frame, word, (word & framePin) | number);
    return true;
  }

  private pinTouched(frame: number, holder: Holder, slot: number): void {
    const { frameAccount, recordPin } = this.memory;
    if (recordPin[slot] === 0) Atomics.compareExchange(recordPin, slot, 0, holder.number);
    const word = frameAccount[frame]!;
    if ((word & framePin) !== 0) return;
    this.makeRoomForPin();
    this.swap(frame, word, word | framePin);
  }

  /**
   * What is over the quota becomes nobody's, the longest unused first, as a clock has it; `patience`: frames passed before any will do but
   * the one `taken` just now. After so many steps the rest waits for the next claim, from where the hand is then.
   */
  private trim(number: number, patience: number, mostFrames: number, taken = -1): void {
    const quota = this.quota(number);
    if (quota === 0) return;
    const { accounts, frameAccount, referenced, geometry } = this.memory;
    const handAt = number * accountWords + accountWord.hand;
    let hand = (accounts[handAt]! >>> 0) % geometry.frameCount;
    let steps = mostFrames;
    for (let passed = 0; steps > 0 && this.frames(number) > quota; ) {
      const frame = firstWith(frameAccount, numberMask, number, hand, Math.min(hand + steps, geometry.frameCount) - 1);
      steps -= frame + 1 - hand;
      hand = frame + 1 === geometry.frameCount ? 0 : frame + 1;
      const word = frameAccount[frame]!;
      if ((word & numberMask) !== number || frame === taken) continue;
      if (passed < patience && ((word & framePin) !== 0 || referenced[frame]! > 0)) {
        if ((word & framePin) === 0) cool(referenced, frame);
        passed++;
      } else if (this.swap(frame, word, beyond)) {
        referenced[frame] = 0;
        this.countEviction(number);
        // What waited since earlier claims is chosen with as much patience.
        if (taken >= 0) passed = 0;
      }
    }
    accounts[handAt] = hand;
  }

  /** The longest unused pin goes, as a clock has it, if there are as many as may be. */
  private makeRoomForPin(): void {
    if (this.pinned() < this.mostPinned) return;
    const { control, frameAccount, referenced, geometry } = this.memory;
    let hand = (control[controlWord.pinHand]! >>> 0) % geometry.frameCount;
    let steps = Math.min(mostSteps, geometry.frameCount);
    for (let passed = 0; steps > 0 && this.pinned() >= this.mostPinned; ) {
      const frame = firstWith(frameAccount, framePin, framePin, hand, Math.min(hand + steps, geometry.frameCount) - 1);
      steps -= frame + 1 - hand;
      hand = frame + 1 === geometry.frameCount ? 0 : frame + 1;
      const word = frameAccount[frame]!;
      if ((word & framePin) === 0) continue;
      if (passed < mostPassed && referenced[frame]! > 0) {
        cool(referenced, frame);
        passed++;
      } else this.swap(frame, word, word & ~framePin);
    }
    control[controlWord.pinHand] = hand;
  }

  private assign(frame: number, next: number): void {
    this.count(Atomics.exchange(this.memory.frameAccount, frame, next), -1);
    this.count(next, 1);
  }

  /** False: somebody else was faster. */
  private swap(frame: number, before: number, next: number): boolean {
    if (Atomics.compareExchange(this.memory.frameAccount, frame, before, next) !== before) return false;
    this.count(before, -1);
    this.count(next, 1);
    return true;
  }

  private count(word: number, change: number): void {
    const { accounts, control } = this.memory;
    const number = word & numberMask;
    if (number !== nobody) Atomics.add(accounts, number * accountWords + accountWord.frames, change);
    if ((word & framePin) !== 0) Atomics.add(control, controlWord.framesPinned, change);
  }

  private countEviction(number: number): void {
    Atomics.add(this.memory.accounts, number * accountWords + accountWord.evictions, 1);
  }

  private frames(number: number): number {
    return Atomics.load(this.memory.accounts, number * accountWords + accountWord.frames);
  }

  private quota(number: number): number {
    return Atomics.load(this.memory.accounts, number * accountWords + accountWord.quota);
  }

  private pinned(): number {
    return Atomics.load(this.memory.control, controlWord.framesPinned);
  }

  private wipe(number: number, frames: number): void {
    const { accounts, accountCounters } = this.memory;
    accounts.fill(0, number * accountWords, (number + 1) * accountWords);
    accounts[number * accountWords + accountWord.frames] = frames;
    accountCounters.fill(0, number * accountCounterCount, (number + 1) * accountCounterCount);
  }

  private isOf(number: number, first: number, second: number): boolean {
    const { accounts } = this.memory;
    const at = number * accountWords;
    if (Atomics.load(accounts, at + accountWord.isUsed) === 0) return false;
    return accounts[at + accountWord.name] === first && accounts[at + accountWord.name + 1] === second;
  }

  private locked<T>(action: () => T): T {
    this.rowLock.acquire(0);
    try {
      return action();
    } finally {
      this.rowLock.release(0);
    }
  }
}

/** The first frame from `start` on whose word has the value in the mask's bits, or the last one: most are others', and passed quickly. */
function firstWith(words: Uint16Array, mask: number, value: number, start: number, last: number): number {
  let frame = start;
  while (frame < last && (words[frame]! & mask) !== value) frame++;
  return frame;
}

/** One round less; what no priority gives is taken for the highest. */
export function cool(referenced: Uint8Array, frame: number): void {
  referenced[frame] = Math.min(referenced[frame]!, roundsOf.high) - 1;
}

function nameWords(name: string): readonly [number, number] {
  const bytes = Buffer.from(name);
  return [hashWords(0x4f57_4e31, bytes) | 0, hashWords(0x4f57_4e32, bytes) | 0];
}
