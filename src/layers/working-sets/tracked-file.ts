/**
 * What is known of one file that clients use: what they touched and wrote, and what is fetched of it ahead of need.
 *
 *     unknown ──attributes──> large: recorded | small or no file: let alone
 *     recording ──10 minutes after the first touch, or 2 minutes without a new one──> over
 */
import { limits } from '../../base/mod.ts';
import type { Purpose, WorkingSet } from '../../content/mod.ts';
import {
  type Attributes,
  type Call,
  type FetchMode,
  type FileHandle,
  FileType,
  type Place,
  stampOfAttributes,
} from '../../vfs/mod.ts';
import { BlockBits, type WantedBlocks } from '../read-ahead/mod.ts';
import { writtenPurpose } from './contract.ts';
import { Touches } from './touches.ts';

const { blockBytes } = limits;
/** Of a block in a list. */
const listedBytes = 8;

export class TrackedFile {
  readonly handle: FileHandle;
  touched = true;
  kind: 'unknown' | 'large' | 'other' = 'unknown';
  /** As it was last looked up. */
  place: Place | undefined;
  attributes: Attributes | undefined;
  /** Whoever touched it last, for what is asked on nobody's behalf. */
  call: Call | undefined;
  readonly reads = new Touches();
  readonly writes = new Touches();
  firstTouchMs = 0;
  lastTouchMs = 0;
  hasBegun = false;
  isOver = false;
  /** What was kept last, and when. */
  savedReads = 0;
  savedWrites = 0;
  savedMs = 0;
  isPublished = false;
  /** It is on its way to the origin. */
  publishing: Promise<void> | undefined;
  /** Its meta-data say that whoever uses it will want all of it. */
  isWantedWhole = false;
  /** Of the settings as they were when it was last looked at, and how it was to be fetched then. */
  generation = -1;
  fetch: FetchMode | undefined;
  /** Of earlier runs of this host, as it was when this one began. */
  prior: WorkingSet | undefined;
  /** The origin's sets, once they are looked for. */
  finding: Promise<readonly WorkingSet[]> | undefined;
  /** It was looked for, and let go for others: not again before somebody reads. */
  hasLooked = false;
  /** What was found. */
  found: readonly WorkingSet[] | undefined;
  wanted: WantedBlocks | undefined;
  /** Blocks that are not asked for again. */
  asked = new BlockBits();
  /** Blocks that were fetched ahead, over the session. */
  readonly fetched = new BlockBits();

  constructor(handle: FileHandle) {
    this.handle = handle;
  }

  get isRecording(): boolean {
    return this.hasBegun && !this.isOver;
  }
  get blockCount(): number {
    return Math.ceil((this.attributes?.size ?? 0) / blockBytes);
  }

  bytesOf(block: number): number {
    return Math.max(0, Math.min(blockBytes, (this.attributes?.size ?? 0) - block * blockBytes));
  }

  /** Of what may be let go, roughly. */
  get keptBytes(): number {
    const sets = [...(this.prior === undefined ? [] : [this.prior]), ...(this.found ?? [])];
    const listed = (this.reads.count + this.writes.count) * listedBytes;
    return sets.reduce((sum, { blocks, weights }) => sum + blocks.byteLength + weights.byteLength, listed);
  }

  /** The recording is over: what comes later is no part of it. */
  stop(): void {
    this.isOver = true;
    this.reads.stop();
    this.prior = undefined;
  }

  /** What was found has been used: whoever wants it again looks again. */
  forgetFound(): void {
    if (this.found !== undefined) this.finding = undefined;
    this.found = undefined;
  }

  /** All that is kept of a file that is not being recorded. What was learned is on the disk. */
  letGo(): void {
    if (this.found !== undefined) this.hasLooked = true;
    this.forgetFound();
    this.prior = undefined;
    // One that nobody has used yet is recorded when it is.
    if (this.reads.count > 0) this.reads.end();
    if (this.writes.count > 0) this.writes.end();
    this.savedReads = 0;
    this.savedWrites = 0;
  }

  learn(attributes: Attributes): void {
    const isLarge = attributes.type === FileType.REGULAR && attributes.size >= limits.contentSmallestBytes;
    this.attributes = attributes;
    // A file that shrinks while it is used goes on as it is.
    if (this.kind !== 'large') this.kind = isLarge ? 'large' : 'other';
  }

  /** What this run taught; undefined: nothing. */
  learned(purpose: Purpose): WorkingSet | undefined {
    const { attributes } = this;
    if (attributes === undefined || this.kind !== 'large' || attributes.size > limits.contentFileBytes)
      return undefined;
    const blocks = (purpose === writtenPurpose ? this.writes : this.reads).learned(this.blockCount);
    if (blocks === undefined) return undefined;
    const weights = new Uint8Array(blocks.length).fill(1);
    return { stamp: stampOfAttributes(attributes), purpose, blocks, weights, runs: 1 };
  }
}
