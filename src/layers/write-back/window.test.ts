import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/mod.ts';
import { UploadWindow } from './window.ts';

interface Path {
  readonly bytesPerMs: number;
  readonly roundTripMs: number;
  /** The server works on one WRITE at a time, for so long. */
  readonly serverMs?: (nowMs: number, bytes: number) => number;
  readonly mostRequestBytes?: number;
  readonly headerBytes?: number;
}

/** Sends `bytes` over a queue with one transmitter; a read that arrives every 7 ms or so sees what waits before it. */
function upload(path: Path, bytes: number) {
  const window = new UploadWindow({ smallestBytes: 32 * 1024, mostBytes: 16 * 1024 * 1024, queueMs: 20 });
  const random = seededRandom(5);
  const answers: { dueMs: number; answer: () => void }[] = [];
  const queuesMs: { atMs: number; queueMs: number }[] = [];
  let nowMs = 0;
  let lineFreeMs = 0;
  let serverFreeMs = 0;
  let left = bytes;
  let readMs = 7;
  const send = (): void => {
    while (left > 0) {
      const count = Math.min(window.requestBytes, path.mostRequestBytes ?? Number.POSITIVE_INFINITY, left);
      if (!window.hasRoom(count)) return;
      window.reserve(count);
      const mark = window.sent(count, nowMs);
      left -= count;
      lineFreeMs = Math.max(lineFreeMs, nowMs) + (count + (path.headerBytes ?? 200)) / path.bytesPerMs;
      serverFreeMs = Math.max(serverFreeMs, lineFreeMs + path.roundTripMs / 2) + (path.serverMs?.(nowMs, count) ?? 0);
      const dueMs = serverFreeMs + path.roundTripMs / 2;
      answers.push({ dueMs, answer: () => window.answered(mark, dueMs) });
    }
  };
  send();
  for (let next = answers.shift(); next !== undefined; next = answers.shift()) {
    for (; readMs < next.dueMs; readMs += 4 + (random.uint32() % 6)) {
      queuesMs.push({ atMs: readMs, queueMs: Math.max(0, lineFreeMs - readMs) });
    }
    nowMs = next.dueMs;
    next.answer();
    send();
  }
  const sorted = queuesMs.map(({ queueMs }) => queueMs).sort((a, b) => a - b);
  return {
    window,
    durationMs: nowMs,
    utilisation: bytes / path.bytesPerMs / nowMs,
    queueP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    longestQueueMs: sorted.at(-1) ?? 0,
  };
}

const megabit = 125;
const links = [
  { name: '14 Mbit/s, 32 ms', bytesPerMs: 14 * megabit, roundTripMs: 32, bytes: 30e6 },
  { name: '100 Mbit/s, 40 ms', bytesPerMs: 100 * megabit, roundTripMs: 40, bytes: 200e6 },
  { name: '1 Gbit/s, 10 ms', bytesPerMs: 1000 * megabit, roundTripMs: 10, bytes: 2e9 },
  { name: '100 Mbit/s, 200 ms', bytesPerMs: 100 * megabit, roundTripMs: 200, bytes: 500e6 },
  { name: '1.5 GB/s, loopback', bytesPerMs: 1.5e6, roundTripMs: 0.1, bytes: 5e9 },
] as const;

for (const { name, bytesPerMs, roundTripMs, bytes } of links) {
  test(`fills a link of ${name} and lets a read wait for little`, () => {
    const { utilisation, queueP99Ms, longestQueueMs } = upload({ bytesPerMs, roundTripMs }, bytes);
    // Over 200 ms the start alone takes 6 % of this upload, and its overshoot is in the 99th percentile.
    const least = roundTripMs > 100 ? 0.9 : 0.93;
    assert.ok(utilisation >= least, `${(100 * utilisation).toFixed(1)} % of the link`);
    assert.ok(
      queueP99Ms <= (roundTripMs > 100 ? 140 : 30),
      `a read queues for ${queueP99Ms.toFixed(1)} ms at the 99th percentile`,
    );
    assert.ok(longestQueueMs <= roundTripMs + 50, `a read queued for ${longestQueueMs.toFixed(1)} ms`);
  });
}

test('fills the link with requests of 4 KiB', () => {
  const path = { bytesPerMs: 100 * megabit, roundTripMs: 40, mostRequestBytes: 4096 };
  const { utilisation, queueP99Ms } = upload(path, 100e6);
  assert.ok(utilisation >= 0.9 * (4096 / 4296), `${(100 * utilisation).toFixed(1)} % of the link`);
  assert.ok(queueP99Ms <= 30, `a read queues for ${queueP99Ms.toFixed(1)} ms at the 99th percentile`);
});

test('a slow disk of the server is kept busy, and no more than that is on the way', () => {
  // 64 KiB every 20 ms: 3.2 MB/s behind a link of 12.5 MB/s.
  const serverMs = (_: number, bytes: number): number => (bytes / 65536) * 20;
  const path = { bytesPerMs: 100 * megabit, roundTripMs: 40, serverMs };
  const { durationMs, window, longestQueueMs } = upload(path, 60e6);
  const busy = serverMs(0, 60e6) / durationMs;
  assert.ok(busy >= 0.85, `the disk was busy for ${(100 * busy).toFixed(0)} %`);
  assert.ok(window.limitBytes < 600_000, `${window.limitBytes} bytes in flight`);
  assert.ok(longestQueueMs < 60, `${longestQueueMs.toFixed(1)} ms in the queue of the link`);
});

test('stalls of the server for a second each do not keep the link from being filled between them', () => {
  let nextStallMs = 1000;
  const serverMs = (nowMs: number): number => {
    if (nowMs < nextStallMs) return 0;
    nextStallMs = nowMs + 4000;
    return 1000;
  };
  const bytes = 150e6;
  const { durationMs } = upload({ bytesPerMs: 100 * megabit, roundTripMs: 40, serverMs }, bytes);
  const stalledMs = 1000 * Math.ceil(durationMs / 5000);
  const share = bytes / (100 * megabit) / (durationMs - stalledMs);
  assert.ok(share >= 0.85, `${(100 * share).toFixed(0)} % of the time without stalls`);
});

test('a way that became longer is not taken for a queue for ever', () => {
  const window = new UploadWindow({ smallestBytes: 32 * 1024, mostBytes: 16 * 1024 * 1024, queueMs: 20 });
  const bytesPerMs = 100 * megabit;
  let roundTripMs = 20;
  let nowMs = 0;
  let lineFreeMs = 0;
  let delivered = 0;
  const answers: { dueMs: number; answer: () => void }[] = [];
  const run = (untilMs: number): number => {
    const before = delivered;
    const beganMs = nowMs;
    while (nowMs < untilMs) {
      for (let count = window.requestBytes; window.hasRoom(count); count = window.requestBytes) {
        window.reserve(count);
        const mark = window.sent(count, nowMs);
        lineFreeMs = Math.max(lineFreeMs, nowMs) + count / bytesPerMs;
        const dueMs = lineFreeMs + roundTripMs;
        const answer = (): void => {
          delivered += count;
          window.answered(mark, dueMs);
        };
        answers.push({ dueMs, answer });
      }
      const next = answers.shift()!;
      nowMs = Math.max(nowMs, next.dueMs);
      next.answer();
    }
    return (delivered - before) / (nowMs - beganMs) / bytesPerMs;
  };
  assert.ok(run(5_000) > 0.9);
  roundTripMs = 120;
  run(20_000);
  const share = run(30_000);
  assert.ok(share > 0.9, `${(100 * share).toFixed(0)} % of the link`);
});

test('a request that is larger than the limit goes when nothing is in flight', () => {
  const window = new UploadWindow({ smallestBytes: 32 * 1024, mostBytes: 1024 * 1024, queueMs: 20 });
  assert.equal(window.hasRoom(10_000_000), true);
  window.reserve(10_000_000);
  assert.equal(window.hasRoom(1), false);
  window.answered(window.sent(10_000_000, 0), 5);
  assert.equal(window.inFlightBytes, 0);
});
