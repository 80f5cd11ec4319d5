/**
 * Finds sequential readers in the touches of one file: several streams at a time, interleaved, slightly out of order (as
 * kernel clients send), forward and backward. A stream reads ahead of its reader by a window that doubles as the
 * reader consumes it. Who begins at the beginning of the file with a whole block is taken for a reader of all of it.
 *
 * Invariants: at most `mostStreams`, the longest unused gives way; a touch belongs to one stream; `front` only moves in the
 * direction of the stream; what was asked for and not read yet is never more than the caller's limit. Forward, what needs no asking
 * (it is cached, or known to be zero) does not use up the window, so that the link stays busy when most of a file is here.
 *
 *     forward    ....[ read ]high [ asked for ][known][ asked for ]front .... until what was asked for fills the window
 *     backward   low - window .... front[ asked for ] low[ read ]....
 *
 *     candidate --adjacent touch (backward: two)--> confirmed --unused longest--> gone
 */
import { limits } from '../../base/mod.ts';
import { type BlockRun, type BlockView, unknownRun } from './block-view.ts';

const blockBytes = limits.blockBytes;
const mostStreams = 16;
const initialWindowBytes = 256 * 1024;
/** How far out of order the second touch of a stream may come, at least. */
const slackBytes = 64 * 1024;
/** How far out of order touches of a known stream may come, at least. */
const confirmedSlackBytes = 1024 * 1024;
/** How far ahead of its reader a stream looks for something to ask for, and how many blocks it passes at a time. */
const farthestBlocks = (1024 * 1024 * 1024) / blockBytes;
const mostPassed = 1024;

interface Stream {
  /** It began at the beginning of the file, with more than a look at a header: it is taken for one at once. */
  readonly isWhole: boolean;
  /** The bytes read so far: [low, high). */
  low: number;
  high: number;
  /** 0 until the second touch forward, or the third backward. */
  direction: -1 | 0 | 1;
  stepsBack: number;
  windowBytes: number;
  consumedBytes: number;
  /** Forward: the first block not asked for. Backward: one above the highest block not asked for. */
  front: number;
  /** Forward: what was asked for and not read yet, in ascending order. */
  asked: BlockRun[];
  used: number;
}

export class SequentialStreams {
  readonly #streams: Stream[] = [];
  #clock = 0;

  get active(): boolean {
    return this.#streams.length > 0;
  }

  /** `missed`: the touch had to go to the origin. Only then can it begin a stream. Says whether it went on with a stream. */
  touch(offset: number, end: number, missed: boolean): boolean {
    this.#clock++;
    for (const stream of this.#streams) {
      if (this.#advance(stream, offset, end, missed)) return true;
    }
    if (missed) this.#open(offset, end);
    return false;
  }

  /** The next blocks that a stream wants, the latest used stream first. `startBytes`: what a new stream may ask for at once. */
  next(view: BlockView, mostBlocks: number, windowLimitBytes: number, startBytes = 0): BlockRun | undefined {
    for (const stream of this.#streams) {
      if (stream.direction === 0) continue;
      const window = Math.min(Math.max(stream.windowBytes, startBytes), windowLimitBytes);
      const run =
        stream.direction > 0 ? forward(stream, view, mostBlocks, window) : backward(stream, view, mostBlocks, window);
      if (run !== undefined) return run;
    }
    return undefined;
  }

  /** What was asked for came without the link: it uses up no window. */
  forgive(run: BlockRun): void {
    for (const stream of this.#streams) {
      const at = stream.asked.indexOf(run);
      if (at >= 0) stream.asked.splice(at, 1);
    }
  }

  #advance(stream: Stream, offset: number, end: number, missed: boolean): boolean {
    const slack =
      stream.direction === 0
        ? Math.max(slackBytes, end - offset)
        : Math.max(confirmedSlackBytes, stream.windowBytes / 2, 2 * (end - offset));
    const ahead = stream.direction >= 0 && offset <= stream.high + slack && offset >= stream.high - slack;
    const behind = stream.direction <= 0 && end >= stream.low - slack && end <= stream.low + slack;
    if (!ahead && !behind) return false;
    stream.used = this.#clock;
    const isForward = ahead && (!behind || end > stream.high);
    const progress = isForward ? end - stream.high : stream.low - offset;
    if (progress <= 0) return true;
    if (isForward) stream.high = end;
    else stream.low = offset;
    if (stream.direction === 0) {
      // One step back may be two requests that overtook each other.
      if (!isForward && ++stream.stepsBack < 2) return true;
      stream.direction = isForward ? 1 : -1;
      stream.front = isForward ? Math.ceil(end / blockBytes) : Math.floor(offset / blockBytes);
      this.#toFront(stream);
      return true;
    }
    stream.consumedBytes += progress;
    if (missed || stream.consumedBytes >= stream.windowBytes / 2) {
      stream.windowBytes = Math.min(stream.windowBytes * (stream.isWhole ? 4 : 2), limits.readAheadBytes);
      stream.consumedBytes = 0;
    }
    this.#toFront(stream);
    return true;
  }

  #open(offset: number, end: number): void {
    const isWhole = offset === 0 && end >= blockBytes;
    const stream: Stream = {
      isWhole,
      low: offset,
      high: end,
      direction: isWhole ? 1 : 0,
      stepsBack: 0,
      windowBytes: initialWindowBytes,
      consumedBytes: 0,
      front: Math.ceil(end / blockBytes),
      asked: [],
      used: this.#clock,
    };
    if (this.#streams.length >= mostStreams) this.#streams.pop();
    // Candidates queue behind confirmed streams in use: scattered misses must not push those out.
    const at = this.#streams.findIndex((other) => other.direction === 0 || this.#clock - other.used > 256);
    if (at < 0) this.#streams.push(stream);
    else this.#streams.splice(at, 0, stream);
  }

  #toFront(stream: Stream): void {
    const at = this.#streams.indexOf(stream);
    if (at > 0) {
      this.#streams.splice(at, 1);
      this.#streams.unshift(stream);
    }
  }
}

function forward(stream: Stream, view: BlockView, mostBlocks: number, windowBytes: number): BlockRun | undefined {
  const high = Math.floor(stream.high / blockBytes);
  const windowBlocks = Math.ceil(windowBytes / blockBytes);
  let front = Math.max(stream.front, high);
  const stop = Math.min(view.blockCount, front + mostPassed, high + farthestBlocks);
  while (front < stop && view.known(front)) front++;
  stream.front = front;
  if (front >= stop) return undefined;
  const end = Math.min(front + windowBlocks - askedAhead(stream), view.blockCount);
  // Small steps of the reader add up to whole requests.
  const enough = Math.min(mostBlocks, Math.ceil(windowBlocks / 4));
  if (end - front < enough && end < view.blockCount) return undefined;
  const run = unknownRun(view, front, end, mostBlocks);
  if (run === undefined) return undefined;
  stream.front = run.first + run.count;
  stream.asked.push(run);
  return run;
}

/** Blocks that the reader has not come to. */
function askedAhead(stream: Stream): number {
  const { asked } = stream;
  const read = asked.findIndex((run) => (run.first + run.count) * blockBytes > stream.high);
  asked.splice(0, read < 0 ? asked.length : read);
  return asked.reduce((sum, run) => sum + run.count, 0);
}

function backward(stream: Stream, view: BlockView, mostBlocks: number, windowBytes: number): BlockRun | undefined {
  const begin = Math.max(Math.floor((stream.low - windowBytes) / blockBytes), 0);
  let front = Math.min(stream.front, Math.ceil(stream.low / blockBytes), view.blockCount);
  while (front > begin && view.known(front - 1)) front--;
  stream.front = front;
  const enough = Math.min(mostBlocks, Math.ceil(windowBytes / blockBytes / 4));
  if (front - begin < enough && begin > 0) return undefined;
  let first = front;
  while (first > begin && front - first < mostBlocks && !view.known(first - 1)) first--;
  if (first === front) return undefined;
  stream.front = first;
  return { first, count: front - first };
}
