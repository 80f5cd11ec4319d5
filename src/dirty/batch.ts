/**
 * A batch of records on its way into a segment: one write. Encoding gives each record its place, its LSN and, the first time, its epoch.
 *
 *     [segment ... end][record][record]...      position ─► end
 */
import { assert } from '../base/mod.ts';
import { addressOf, align } from './format.ts';
import type { Item } from './item.ts';
import { fileItem } from './payloads.ts';
import { flagCut, headBytes, RecordEncoder, RecordType } from './record.ts';
import type { Segment } from './segments.ts';
import type { LogState } from './state.ts';

/** Bounds what a failed write has to do again, and how long a synchronous one takes. */
const batchBytes = 4 * 1024 * 1024;

export interface Batch {
  readonly segment: Segment;
  readonly position: number;
  readonly items: Item[];
  readonly slices: Uint8Array[];
  end: number;
}

interface Circumstances {
  /** Everything up to it is stable. */
  readonly syncedLsn: number;
  readonly isHeld: boolean;
}

export class Encoding {
  readonly #state: LogState;
  readonly #encoder: RecordEncoder;
  nextLsn: number;

  constructor(state: LogState, seed: number, firstLsn: number) {
    this.#state = state;
    this.#encoder = new RecordEncoder(seed);
    this.nextLsn = firstLsn;
  }

  begin(segment: Segment): Batch {
    this.#encoder.reset();
    return { segment, position: segment.end, items: [], slices: [], end: segment.end };
  }

  /** As many as there is room for before `limit`; they leave the queue. */
  take(batch: Batch, queue: Item[], limit: number, now: Circumstances): void {
    let taken = 0;
    while (taken < queue.length && batch.end - batch.position < batchBytes) {
      const item = queue[taken]!;
      const file = item.isChange ? this.#state.files.get(item.file) : undefined;
      const named = file !== undefined && !file.recorded ? fileItem(file.number, file.key) : undefined;
      const needed = item.logBytes + (named === undefined ? 0 : named.logBytes);
      if (batch.end + needed > limit || !this.#encoder.hasRoom(item.sums + 32)) break;
      if (named !== undefined && file !== undefined) {
        file.recorded = true;
        this.#encode(batch, named, now);
      }
      this.#encode(batch, item, now);
      taken++;
    }
    if (taken > 0) queue.splice(0, taken);
  }

  #encode(batch: Batch, item: Item, now: Circumstances): void {
    const state = this.#state;
    const position = align(batch.end);
    item.address = addressOf(batch.segment.number, position);
    const isFirstTime = item.lsn === 0;
    // An LSN whose write failed may be on the disk: it is never used again.
    item.lsn = this.nextLsn++;
    if (isFirstTime) {
      if (item.isChange) {
        const file = state.files.get(item.file);
        assert(file !== undefined, 'a file is named before it is changed');
        // Under a hold a SEAL may wait, which comes after it.
        const epoch = now.isHeld ? state.epochs.beforeSeal : state.epochs.open;
        item.epoch = epoch.call(state.epochs, item.wallMs, item.address).number;
        const isCut = file.encodedSize === undefined || item.sizeAfter < file.encodedSize;
        if (item.type === RecordType.SIZE && isCut) item.flags |= flagCut;
        file.encodedSize = item.sizeAfter;
      } else if (item.type === RecordType.CARRY) {
        item.epoch = state.epochs.beforeSeal(item.wallMs, item.address).number;
      }
    }
    // The last one that was drained frees everything up to what comes after it.
    if (item.type === RecordType.DRAINED && item.epoch === state.epochs.drainedUpTo) {
      item.offset = state.epochs.first?.start ?? item.address;
    }
    item.syncedLsn = now.syncedLsn;
    const padding = position - batch.end;
    batch.slices.push(this.#encoder.encode(item, item.data, batch.segment.number, position, padding));
    for (const slice of item.data) if (slice.length > 0) batch.slices.push(slice);
    batch.end = position + headBytes(item.sums) + item.payloadBytes;
    item.end = addressOf(batch.segment.number, align(batch.end));
    batch.items.push(item);
  }
}
