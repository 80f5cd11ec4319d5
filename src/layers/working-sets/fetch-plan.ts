/**
 * What is fetched ahead of need of each file, as one list of wanted blocks a file that others may append to.
 *
 *     sets ──blocks, bounded──┐
 *     whole file ─────────────┴──> WantedBlocks ──> block cache        what is over is begun anew by whoever wants more
 *
 * Invariants: of one file's sets at most half the cache; of whole files together at most three quarters of it, for what does not fit
 * would push out what was fetched before it, unless it is gone or was given up; at most `mostFiles` at a time, the oldest gives way.
 */
import { chain, type Eventual, isPromise, type Log, limits } from '../../base/mod.ts';
import type { WorkingSet } from '../../content/mod.ts';
import { type Call, type Failure, type FileHandle, type Filesystem, statusName } from '../../vfs/mod.ts';
import { BlockBits, WantedBlocks } from '../read-ahead/mod.ts';
import { isGone } from '../write-back/conflict.ts';
import type { BlockFetcher } from './contract.ts';
import type { TrackedFile } from './tracked-file.ts';

export interface FetchPlanOptions {
  /** Knows which files there are. */
  readonly next: Pick<Filesystem, 'getattr'>;
  readonly fetcher: BlockFetcher;
  readonly cacheBytes: number;
  readonly log: Log;
}

/** `too-large`: the cache cannot hold the file. `no-set`: nothing is known of what is wanted of it. */
export type Warming =
  | { readonly status: 0; readonly wanted: WantedBlocks; readonly blocks: number }
  | { readonly status: Failure | 'too-large' | 'no-set' };

const setShare = 1 / 2;
const wholeShare = 3 / 4;
const mostFiles = 64;

export class FetchPlan {
  readonly #options: FetchPlanOptions;
  readonly #running = new Set<WantedBlocks>();
  /** Sizes of the files that are fetched whole, by handle. */
  readonly #whole = new Map<FileHandle, number>();
  /** Those that go on with the rest of their file. */
  readonly #wholes = new WeakSet<WantedBlocks>();
  #hasWarned = false;
  #isClosed = false;

  constructor(options: FetchPlanOptions) {
    this.#options = options;
  }

  get leftBlocks(): number {
    let left = 0;
    for (const wanted of this.#running) left += wanted.leftBlocks;
    return left;
  }

  /** Sets of the file are being looked for: until the answer is called it is not over, and nothing is guessed of it. */
  expect(file: TrackedFile): () => void {
    const wanted = this.#open(file);
    wanted.expect();
    return () => wanted.expected();
  }

  /** In the order of the sets. */
  fetch(file: TrackedFile, call: Call, sets: readonly WorkingSet[]): void {
    if (sets.length > 0 || file.wanted?.hasEnded === false) this.#begin(file, call, this.#list(file, sets), false);
  }

  /** The rest of the file, after what is listed. */
  whole(file: TrackedFile, call: Call): void {
    if (this.#fits(file)) this.#begin(file, call, [], true);
    else
      void this.#forgetGone(call).then(() => {
        if (this.#isClosed) return;
        if (this.#fits(file)) this.#begin(file, call, [], true);
        else this.#warn(file);
      });
  }

  /** Nobody uses the file any more, or it is gone: another may take its room. */
  forget(handle: FileHandle): void {
    this.#whole.delete(handle);
  }

  #warn(file: TrackedFile): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#options.log.warn(
      { file: file.place?.name, bytes: file.attributes?.size, cacheBytes: this.#options.cacheBytes },
      'files in use are larger than the cache: not all of them is fetched as a whole (--cache-size)',
    );
  }

  async #forgetGone(call: Call): Promise<void> {
    const handles = [...this.#whole.keys()];
    const looks = handles.map(async (object) => {
      const { status } = await this.#options.next.getattr(call, { object });
      if (isGone(status)) this.forget(object);
    });
    // An origin that cannot tell has not lost a file.
    await Promise.allSettled(looks);
  }

  async warm(call: Call, file: TrackedFile, sets: readonly WorkingSet[], isWhole: boolean): Promise<Warming> {
    if (isWhole && !this.#fits(file)) {
      await this.#forgetGone(call);
      if (!this.#fits(file)) return { status: 'too-large' };
    }
    if (!isWhole && sets.length === 0) return { status: 'no-set' };
    // What was fetched before and was pushed out since is wanted again.
    if (file.wanted?.hasEnded !== false) file.asked = new BlockBits();
    const { wanted, status } = this.#begin(file, call, this.#list(file, sets), isWhole);
    const blocks = wanted.leftBlocks;
    const failure = await status;
    return failure === 0 ? { status: 0, wanted, blocks } : { status: failure };
  }

  close(): void {
    this.#isClosed = true;
    for (const wanted of this.#running) wanted.giveUp();
  }

  #begin(
    file: TrackedFile,
    call: Call,
    lists: readonly Uint32Array[],
    isWhole: boolean,
  ): { readonly wanted: WantedBlocks; readonly status: Eventual<Failure | 0> } {
    const wanted = this.#open(file);
    for (const blocks of lists) wanted.append(blocks);
    if (isWhole) {
      wanted.wantRest(file.blockCount);
      this.#wholes.add(wanted);
    }
    const status = chain(this.#options.fetcher.want(call, file.handle, wanted), (failure) => {
      if (failure !== 0) {
        this.#options.log.debug({ file: file.place?.name, status: statusName(failure) }, 'nothing is fetched ahead');
        wanted.giveUp();
      }
      return failure;
    });
    // The session ends, or the origin's answer was none. Whoever waits is told; nobody has to.
    if (isPromise(status)) status.catch(() => wanted.giveUp());
    return { wanted, status };
  }

  #open(file: TrackedFile): WantedBlocks {
    if (file.wanted?.hasEnded === false) return file.wanted;
    const wanted = new WantedBlocks(file.asked, file.fetched);
    file.wanted = wanted;
    this.#running.add(wanted);
    void wanted.ended.then(() => {
      this.#running.delete(wanted);
      if (wanted.failure !== undefined)
        this.#options.log.info(
          { file: file.place?.name, status: statusName(wanted.failure) },
          'what was wanted of a file is not fetched to its end: the origin does not give it',
        );
      // What was not fetched takes no room, nor what is gone.
      if (isGone(wanted.failure ?? 0)) this.forget(file.handle);
      else if (wanted.isGivenUp && file.wanted === wanted && this.#wholes.has(wanted))
        this.#charge(file.handle, wanted.fetchedBytes);
    });
    if (this.#running.size > mostFiles) {
      const [oldest] = this.#running;
      oldest?.giveUp();
    }
    return wanted;
  }

  #list({ blockCount }: TrackedFile, sets: readonly WorkingSet[]): Uint32Array[] {
    let left = Math.floor((this.#options.cacheBytes * setShare) / limits.blockBytes);
    return sets.map(({ blocks }) => {
      // What the file does not have any more would count, and never be there.
      const there = blocks.filter((block) => block < blockCount).subarray(0, left);
      left -= there.length;
      return there;
    });
  }

  #fits({ handle, attributes }: TrackedFile): boolean {
    const size = attributes?.size ?? 0;
    let others = 0;
    for (const [other, bytes] of this.#whole) if (other !== handle) others += bytes;
    if (others + size > this.#options.cacheBytes * wholeShare) return false;
    if (size > 0) this.#whole.set(handle, size);
    return true;
  }

  #charge(handle: FileHandle, bytes: number): void {
    if (!this.#whole.has(handle)) return;
    if (bytes > 0) this.#whole.set(handle, bytes);
    else this.forget(handle);
  }
}
