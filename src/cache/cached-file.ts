/** One version of one file, as one thread sees it: the contract's calls in terms of tags, records, guards, reader and store. */

import { type Eventual, limits } from '../base/mod.ts';
import { type FileStamp, sameStamp } from '../vfs/mod.ts';
import { type Holder, nobodysHolder, roundsOf } from './accounts.ts';
import type { ByteRange, CachedFile, CacheHit, FileCare, FillTicket, PendingWrite } from './contract.ts';
import type { Engine, Version } from './engine.ts';
import { sectorMask } from './engine.ts';
import { frameBytes, sectorBytes, sectorsPerFrame } from './geometry.ts';
import type { Reader } from './reader.ts';
import type { RecordKey } from './records.ts';
import { SliceView } from './slices.ts';
import { stampToWords } from './stamp.ts';
import type { Store } from './store.ts';
import type { WriteGuard } from './write-guard.ts';

/** Hops of `restamp` that wait for the one before them. */
const maximumHops = 256;
/** A cut that would look at more blocks than this ends the version instead. */
const maximumDroppedBlocks = 1 << 17;
/** Tags count blocks in 32 bits. */
const maximumOffset = 0xffff_ffff * frameBytes;

const emptyHit: CacheHit = { slices: [], release() {} };

export interface ThreadParts {
  readonly engine: Engine;
  readonly reader: Reader;
  readonly store: Store;
}

/** The file of `key` (16 bytes, latin1) under `stamp`; `origin` as `originWord` has it. */
export function fileUnder(parts: ThreadParts, key: string, stamp: FileStamp, holder: Holder, origin = 0): CachedFile {
  const { engine } = parts;
  const recordKey = engine.records.key(key);
  const found = engine.records.obtain(recordKey, stampToWords(stamp), origin);
  return new CachedFileView(parts, key, recordKey, engine.version(recordKey, found, holder));
}

/** The file of `key` whatever it stands for. */
export function fileFound(parts: ThreadParts, key: string, holder: Holder): CachedFile | undefined {
  const { engine } = parts;
  const recordKey = engine.records.key(key);
  const found = engine.records.find(recordKey);
  return found && new CachedFileView(parts, key, recordKey, engine.version(recordKey, found, holder));
}

/** Drops every file; with an origin, those of it and those of which it is not known. */
export function dropFiles({ engine }: ThreadParts, origin?: number): Promise<void> {
  engine.records.forgetAll(origin);
  return engine.during(engine.index.flushDurably());
}

class CachedFileView implements CachedFile {
  readonly key: string;
  private readonly parts: ThreadParts;
  private readonly recordKey: RecordKey;
  private readonly version: Version;
  private readonly guard: WriteGuard;
  private hops: { from: FileStamp; to: FileStamp }[] = [];

  constructor(parts: ThreadParts, key: string, recordKey: RecordKey, version: Version) {
    this.parts = parts;
    this.key = key;
    this.recordKey = recordKey;
    this.version = version;
    this.guard = parts.engine.guard(recordKey);
  }

  get live(): boolean {
    return this.parts.engine.records.isLive(this.version.owner);
  }

  get size(): number {
    return this.live ? this.parts.engine.records.size(this.version.owner.slot) : 0;
  }

  matches(stamp: FileStamp): boolean {
    return this.parts.engine.records.matches(this.recordKey, this.version.owner, stampToWords(stamp));
  }

  has(offset: number, count: number): boolean {
    return offset + count <= this.size && this.missing(offset, count).length === 0;
  }

  missing(offset: number, count: number): ByteRange[] {
    const { engine } = this.parts;
    const ranges: { offset: number; count: number }[] = [];
    const wholeEnd = Math.ceil((offset + count) / sectorBytes) * sectorBytes;
    const end = this.live ? Math.min(wholeEnd, this.size) : wholeEnd;
    for (let block = Math.floor(offset / frameBytes); block * frameBytes < end; block++) {
      const wanted = sectorMask(block, offset, end);
      const set = engine.setOf(this.version, block);
      const way = this.live ? engine.tags.find(set, this.version.owner, block) : -1;
      const absent = way < 0 ? wanted : wanted & ~engine.tags.validMask(set, way);
      for (let sector = 0; sector < sectorsPerFrame; sector++) {
        if (absent & (1 << sector)) addRange(ranges, block * frameBytes + sector * sectorBytes, end);
      }
    }
    return ranges;
  }

  read(offset: number, count: number): Eventual<CacheHit | undefined> {
    if (!this.live || offset + count > this.parts.engine.records.size(this.version.owner.slot)) {
      this.parts.engine.miss(this.version.holder);
      return undefined;
    }
    if (count === 0) return emptyHit;
    return this.parts.reader.read(this.version, offset, count);
  }

  ticket(offset: number, count: number): FillTicket {
    const { sequence, quiet } = this.guard.state(offset, count);
    return { offset, count, good: quiet && this.live, sequence, version: this.version.owner.version };
  }

  fill(
    ticket: FillTicket,
    stamp: FileStamp,
    offset: number,
    slices: readonly Uint8Array[],
    count: number,
  ): Eventual<number> {
    const inside = offset >= ticket.offset && offset + count <= ticket.offset + ticket.count;
    const good = ticket.good && inside && ticket.version === this.version.owner.version;
    if (!good || offset + count > maximumOffset || !this.matches(stamp) || offset + count > stamp.size) {
      this.parts.engine.counters.add('fillsRefused');
      return 0;
    }
    return this.parts.store.put({
      ...{ version: this.version, guard: this.guard, offset, slices, count, size: stamp.size, replace: false },
      stillGood: () => this.guard.state(ticket.offset, ticket.count).sequence === ticket.sequence,
    });
  }

  beginWrite(offset: number, count: number): Eventual<PendingWrite> {
    const { engine } = this.parts;
    const alone = this.guard.begin(offset, count);
    // The file's version of this moment, which may be another than ours.
    const found = engine.records.find(this.recordKey);
    const pending = this.pendingWrite(offset, count, alone && found?.version === this.version.owner.version);
    let flush = engine.adoptRecords(this.recordKey);
    if (found === undefined) return flush ? engine.during(engine.index.flushSurely()).then(() => pending) : pending;
    const version = engine.version(this.recordKey, found);
    if (this.drop(version, offset, count)) flush = true;
    if (engine.records.mark(this.recordKey, version.owner)) {
      return engine.during(engine.index.flushDurably()).then(() => {
        engine.records.markIsDurable(version.owner);
        return pending;
      });
    }
    return flush ? engine.during(engine.index.flushSurely()).then(() => pending) : pending;
  }

  invalidate(offset: number, count: number): void {
    this.guard.touch(offset, count);
    const found = this.parts.engine.records.find(this.recordKey);
    if (found !== undefined) this.drop(this.parts.engine.version(this.recordKey, found), offset, count);
  }

  restamp(from: FileStamp, to: FileStamp): boolean {
    const { records } = this.parts.engine;
    const hop = (one: { from: FileStamp; to: FileStamp }): boolean =>
      records.restamp(this.recordKey, this.version.owner, stampToWords(one.from), stampToWords(one.to));
    if (!hop({ from, to })) {
      if (this.live) this.hops.push({ from, to });
      if (this.hops.length > maximumHops) this.hops.shift();
      return false;
    }
    for (let now = to, next = -1; (next = this.hops.findIndex((one) => sameStamp(one.from, now))) >= 0; ) {
      const [one] = this.hops.splice(next, 1);
      if (!hop(one!)) break;
      now = one!.to;
    }
    return true;
  }

  forget(): void {
    this.guard.touch(0, Number.POSITIVE_INFINITY);
    const { records } = this.parts.engine;
    const found = records.find(this.recordKey);
    if (found !== undefined) records.forget(this.recordKey, found);
  }

  setCare({ priority, isPinned }: FileCare): void {
    const { number } = this.version.holder;
    const hasOwner = number !== nobodysHolder.number;
    this.version.holder = { number, rounds: roundsOf[priority], isPinned: isPinned && hasOwner };
    if (hasOwner) this.parts.engine.records.pin(this.recordKey, this.version.owner, number, isPinned);
  }

  private drop(version: Version, offset: number, count: number): boolean {
    const { engine } = this.parts;
    const size = engine.records.size(version.owner.slot);
    const blocks = (Math.min(offset + count, size) - offset) / frameBytes;
    if (blocks <= maximumDroppedBlocks) return engine.dropRange(version, offset, count, size);
    engine.records.forget(this.recordKey, version.owner);
    return true;
  }

  private pendingWrite(offset: number, count: number, alone: boolean): PendingWrite {
    const { guard, version, parts } = this;
    const kept = alone && count <= limits.transferBytes && offset + count <= maximumOffset;
    const sequence = kept ? guard.state(offset, count).sequence : 0;
    const stillGood = (): boolean => guard.state(offset, count).sequence === sequence;
    let over = false;
    const end = (): void => {
      if (!over) guard.end(offset, count);
      over = true;
    };
    return {
      abandon: end,
      complete: (slices, done) => {
        if (!kept || over || !this.live || !stillGood()) return end();
        // Nothing is kept beyond the version's size: the drop before a later write would not look there.
        const { size } = this;
        const inside = Math.min(done, count, size - offset);
        if (inside <= 0) return end();
        const request = { version, guard, offset, slices: cut(slices, inside), count: inside, size, replace: true };
        const stored = parts.store.put({ ...request, stillGood });
        if (typeof stored === 'number') return end();
        return stored.then(end);
      },
    };
  }
}

/** The first `count` bytes: what follows them would be taken for the padding of the last sector. */
function cut(slices: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  const view = new SliceView(slices);
  return view.count > count ? view.range(0, count) : slices;
}

/** Adds the sector at `start`, cut at `end`, to ascending merged ranges. */
function addRange(ranges: { offset: number; count: number }[], start: number, end: number): void {
  const count = Math.min(sectorBytes, end - start);
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.count === start) last.count += count;
  else ranges.push({ offset: start, count });
}
