/**
 * Replays the reads of a guest's boot against a model of a link and prints what each read-ahead policy makes of it.
 *
 *     node bench/prefetch-simulation.ts [--trace FILE]... [--rtt MS] [--rate MBIT] [--local SECONDS]
 *
 * The model: a request travels half a round trip, its reply waits for the link (first come, first served, `rate`), and travels
 * the other half. A read of the trace is issued `think` ms after the read that it followed in the recording; with --local the
 * think times are scaled so that the boot would take that long without any stall. A stall is the time that a read waits.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Clock } from '../src/base/mod.ts';
import {
  type BlockRun,
  defaultNeighbourhood,
  defaultReadAhead,
  FilePolicy,
  noReadAhead,
  Prefetcher,
  type ReadAheadOptions,
  WantedBlocks,
} from '../src/layers/read-ahead/mod.ts';

interface Trace {
  readonly name: string;
  readonly fileBytes: number;
  readonly localSeconds: number;
  /** offset, length, index of the read that it followed, think ms */
  readonly reads: readonly (readonly [number, number, number, number])[];
}

const blockBytes = 65_536;
const headerBytes = 200;

/** A heap would be faster; a boot has a few thousand events. */
class Events {
  #pending: { at: number; order: number; action: () => void }[] = [];
  #order = 0;
  nowMs = 0;

  after(delayMs: number, action: () => void): void {
    const event = { at: this.nowMs + delayMs, order: this.#order++, action };
    let low = 0;
    let high = this.#pending.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#pending[middle]!;
      if (other.at > event.at || (other.at === event.at && other.order > event.order)) low = middle + 1;
      else high = middle;
    }
    this.#pending.splice(low, 0, event);
  }

  run(): void {
    for (let event = this.#pending.pop(); event !== undefined; event = this.#pending.pop()) {
      this.nowMs = event.at;
      event.action();
    }
  }
}

class Link {
  bytes = 0;
  #freeAtMs = 0;
  readonly #events: Events;
  readonly roundTripMs: number;
  readonly #bytesPerMs: number;

  constructor(events: Events, roundTripMs: number, megabits: number) {
    this.#events = events;
    this.roundTripMs = roundTripMs;
    this.#bytesPerMs = (megabits * 1e6) / 8 / 1000;
  }

  request(bytes: number, done: () => void): void {
    this.bytes += bytes;
    this.#events.after(this.roundTripMs / 2, () => {
      const start = Math.max(this.#freeAtMs, this.#events.nowMs);
      this.#freeAtMs = start + (bytes + headerBytes) / this.#bytesPerMs;
      this.#events.after(this.#freeAtMs - this.#events.nowMs + this.roundTripMs / 2, done);
    });
  }
}

class Replay {
  stallMs = 0;
  waits = 0;
  demandBytes = 0;
  prefetchBytes = 0;
  usedBlocks = 0;
  readonly #trace: Trace;
  readonly #events: Events;
  readonly #link: Link;
  readonly #prefetcher: Prefetcher;
  readonly #policy: FilePolicy;
  readonly #present: Uint8Array;
  readonly #waiting = new Map<number, (() => void)[]>();
  readonly #scale: number;
  readonly #target;

  constructor(trace: Trace, events: Events, link: Link, options: ReadAheadOptions, scale: number) {
    this.#trace = trace;
    this.#events = events;
    this.#link = link;
    this.#scale = scale;
    const after = (delayMs: number, action: () => void): { cancel(): void } => {
      let isOff = false;
      events.after(delayMs, () => isOff || action());
      return { cancel: () => (isOff = true) };
    };
    const clock: Clock = { now: () => events.nowMs, wallTimeMs: () => events.nowMs, after };
    this.#prefetcher = new Prefetcher(options, clock);
    // The look-up of the file.
    this.#prefetcher.heard(link.roundTripMs);
    this.#policy = new FilePolicy(options);
    const blockCount = Math.ceil(trace.fileBytes / blockBytes);
    this.#present = new Uint8Array(blockCount);
    this.#target = {
      policy: this.#policy,
      view: { blockCount, known: (block: number) => this.#present[block] !== 0 },
      isReady: true,
      makeReady: () => {},
      start: (run: BlockRun, done: (bytes: number) => void) => {
        this.prefetchBytes += run.count * blockBytes;
        this.#fetch(run, () => done(run.count * blockBytes));
        return true;
      },
    };
  }

  /** Blocks that are known beforehand to be wanted. */
  learn(blocks: Uint32Array): void {
    const wanted = new WantedBlocks();
    wanted.append(blocks);
    this.#prefetcher.want(this.#target, wanted);
  }

  run(): void {
    const followers = new Map<number, number[]>();
    this.#trace.reads.forEach(([, , after], index) => {
      const list = followers.get(after) ?? [];
      list.push(index);
      followers.set(after, list);
    });
    const issue = (index: number): void => {
      const [offset, length] = this.#trace.reads[index]!;
      const beganMs = this.#events.nowMs;
      this.#read(offset, length, () => {
        const waited = this.#events.nowMs - beganMs;
        this.stallMs += waited;
        if (waited > 0) this.waits++;
        schedule(index);
      });
    };
    const schedule = (after: number): void => {
      for (const index of followers.get(after) ?? []) {
        this.#events.after(this.#trace.reads[index]![3] * this.#scale, () => issue(index));
      }
    };
    schedule(-1);
    this.#events.run();
  }

  #read(offset: number, length: number, done: () => void): void {
    const first = Math.floor(offset / blockBytes);
    const last = Math.floor((offset + length - 1) / blockBytes);
    let open = 1;
    const oneDone = (): void => {
      if (--open === 0) done();
    };
    let missed = false;
    for (let block = first; block <= last; block++) {
      if (this.#present[block] === 2) continue;
      open++;
      if (this.#present[block] === 1) {
        this.#wait(block, oneDone);
        continue;
      }
      missed = true;
      let count = 1;
      while (block + count <= last && this.#present[block + count] === 0) count++;
      this.demandBytes += count * blockBytes;
      this.#fetch({ first: block, count }, oneDone);
      block += count - 1;
    }
    this.usedBlocks += this.#policy.touch(offset, offset + length, missed);
    this.#prefetcher.wake(this.#target);
    oneDone();
  }

  #wait(block: number, done: () => void): void {
    const list = this.#waiting.get(block) ?? [];
    list.push(done);
    this.#waiting.set(block, list);
  }

  #fetch(run: BlockRun, done: () => void): void {
    const bytes = run.count * blockBytes;
    for (let block = run.first; block < run.first + run.count; block++) this.#present[block] = 1;
    const mark = this.#prefetcher.begin(bytes);
    this.#link.request(bytes, () => {
      for (let block = run.first; block < run.first + run.count; block++) {
        this.#present[block] = 2;
        for (const waiter of this.#waiting.get(block) ?? []) waiter();
        this.#waiting.delete(block);
      }
      done();
      this.#prefetcher.end(mark, bytes);
    });
  }
}

const near = defaultNeighbourhood;
const policies: Record<string, ReadAheadOptions> = {
  'none (64 KiB blocks)': noReadAhead,
  'sequential streams': { ...defaultReadAhead, neighbourhood: undefined },
  'neighbourhood, no spreading': { ...defaultReadAhead, neighbourhood: { ...near, spillRegions: 0 } },
  'neighbourhood (default)': defaultReadAhead,
  'neighbourhood, 3 ms of queue': { ...defaultReadAhead, queueMs: 3 },
  'neighbourhood, 30 ms of queue': { ...defaultReadAhead, queueMs: 30 },
  'neighbourhood, 512 KiB regions': { ...defaultReadAhead, neighbourhood: { ...near, regionBlocks: 8 } },
  'neighbourhood, spread by 4 regions': { ...defaultReadAhead, neighbourhood: { ...near, spillRegions: 4 } },
  'neighbourhood, spread after 1': { ...defaultReadAhead, neighbourhood: { ...near, spillTouches: 1 } },
  'neighbourhood, spread after 1 by 4': {
    ...defaultReadAhead,
    neighbourhood: { ...near, spillTouches: 1, spillRegions: 4 },
  },
};

/** What an earlier boot touched, in its order; or as if that had been somewhat another boot. */
function learned(trace: Trace, differs: boolean): Uint32Array {
  const blocks = new Set<number>();
  for (const [offset, length] of trace.reads) {
    const last = Math.floor((offset + length - 1) / blockBytes);
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) blocks.add(block);
  }
  const all = [...blocks];
  if (!differs) return Uint32Array.from(all);
  // A tenth of it is missing, as much is of no use, and the order is off by some.
  const order = all.map((block, at) => ({ block, at: at + ((at * 7919) % 97) - 48 })).filter((_, at) => at % 10 !== 3);
  const other = order.filter((_, at) => at % 10 === 5).map(({ block, at }) => ({ block: block + 3001, at }));
  const both = [...order, ...other].sort((a, b) => a.at - b.at).map(({ block }) => block);
  return Uint32Array.from(new Set(both));
}

/** A reader that goes through a file as fast as it can, `depth` reads at a time. */
function sequentialTrace(fileBytes: number, readBytes: number, depth: number): Trace {
  const count = Math.floor(fileBytes / readBytes);
  const reads = Array.from({ length: count }, (_, i): [number, number, number, number] => [
    i * readBytes,
    readBytes,
    Math.max(-1, i - depth),
    0,
  ]);
  return { name: 'sequential', fileBytes, localSeconds: 1, reads };
}

function simulateSequential(roundTripMs: number, megabits: number, readBytes: number, depth: number): string {
  const trace = sequentialTrace(2 ** 30, readBytes, depth);
  const events = new Events();
  const link = new Link(events, roundTripMs, megabits);
  new Replay(trace, events, link, defaultReadAhead, 1).run();
  const seconds = events.nowMs / 1000;
  const share = (trace.fileBytes * 8) / 1e6 / seconds / megabits;
  return `| ${roundTripMs} ms, ${megabits} Mbit/s | ${readBytes / 1024} KiB x ${depth} | ${seconds.toFixed(1)} | ${(share * 100).toFixed(0)} % |`;
}

const { values } = parseArgs({
  options: {
    trace: { type: 'string', multiple: true },
    rtt: { type: 'string', default: '40' },
    rate: { type: 'string', default: '100' },
    local: { type: 'string', default: '17' },
  },
});
const here = new URL('traces/', import.meta.url);
const files = values.trace ?? ['boot-shell.json', 'boot-systemd.json'].map((name) => new URL(name, here).pathname);
for (const file of files) {
  const trace = JSON.parse(readFileSync(file, 'utf8')) as Trace;
  const local = Number(values.local) || trace.localSeconds;
  const asked = trace.reads.reduce((sum, [, length]) => sum + length, 0);
  console.log(
    `\n${trace.name}: ${trace.reads.length} reads, ${(asked / 1e6).toFixed(1)} MB, local ${local} s; ` +
      `link ${values.rtt} ms, ${values.rate} Mbit/s`,
  );
  console.log('| policy | stall s | boot / local | waits | demand MB | prefetched MB | of it used |');
  console.log('|---|---|---|---|---|---|---|');
  const runs = Object.entries(policies).map(([name, options]) => ({
    name,
    options,
    set: undefined as Uint32Array | undefined,
  }));
  runs.push({ name: 'working set', options: defaultReadAhead, set: learned(trace, false) });
  runs.push({ name: 'working set of another boot', options: defaultReadAhead, set: learned(trace, true) });
  for (const { name, options, set } of runs) {
    const events = new Events();
    const link = new Link(events, Number(values.rtt), Number(values.rate));
    const replay = new Replay(trace, events, link, options, local / trace.localSeconds);
    if (set !== undefined) replay.learn(set);
    replay.run();
    const used = (replay.usedBlocks * blockBytes) / Math.max(1, replay.prefetchBytes);
    const stall = replay.stallMs / 1000;
    const row = [stall.toFixed(1), ((local + stall) / local).toFixed(2), replay.waits];
    row.push((replay.demandBytes / 1e6).toFixed(1), (replay.prefetchBytes / 1e6).toFixed(1));
    console.log(`| ${name} | ${row.join(' | ')} | ${(used * 100).toFixed(0)} % |`);
  }
}

console.log('\nfirst-touch sequential read of 1 GiB');
console.log('| link | reads | seconds | of the link rate |');
console.log('|---|---|---|---|');
for (const [roundTripMs, megabits] of [
  [200, 1000],
  [40, 100],
  [0.3, 10_000],
] as const) {
  for (const [readBytes, depth] of [
    [2 ** 20, 4],
    [2 ** 17, 1],
    [2 ** 16, 16],
  ] as const) {
    console.log(simulateSequential(roundTripMs, megabits, readBytes, depth));
  }
}
