/** The status of a session with known figures; its calls are counted by a true Stats layer. No test itself. */
import { Stats } from '../../layers/mod.ts';
import type { SessionStatus } from '../../sessions/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, SimulatedClock } from '../../testing/mod.ts';
import { credential } from '../../vfs/mod.ts';

/** Three GETATTRs, of 1, 3 and 10 ms. */
async function countedCalls(): Promise<object> {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const faults = new FaultLayer(memory);
  const stats = new Stats(faults, { clock });
  for (const elapsedMs of [1, 3, 10]) {
    const held = faults.hold('getattr');
    const reply = stats.getattr(callBy(credential(0, 0)), { object: memory.root });
    await clock.advance(elapsedMs);
    held.release();
    await reply;
  }
  return stats.snapshot();
}

export async function countedStatus(): Promise<SessionStatus> {
  const layers = {
    stats: await countedCalls(),
    'block-cache': {
      ...{ hits: 90, misses: 10, hitBytes: 900, missBytes: 100, prefetchBytes: 1000, wantedBytes: 400 },
      ...{ prefetchUsedBytes: 450, link: { bytesPerMs: 1000, roundTripMs: 40 } },
    },
    'working-sets': { fetchedBytes: 400, usedBytes: 300 },
    'attribute-cache': { attributeHits: 7, attributeMisses: 3, nameHits: 6, nameMisses: 4 },
    'access-cache': { hits: 5, misses: 1 },
    origin: { bytesIn: 5000, bytesOut: 600, reconnects: 1, retransmissions: 2 },
    content: { zeroBytes: 1, dedupeBytes: 2, packChunkBytes: 3, plainBytes: Number.NaN },
  };
  const writeBack = {
    ...{ policy: 'write-back' as const, commit: 'local' as const, isAtOrigin: false, pendingBytes: 12_345 },
    ...{ pendingFiles: 2, oldestAgeMs: 2500, files: [], filesLeftOff: 0, conflicts: [] },
    drain: {
      ...{ state: 'writing' as const, pendingBytes: 12_345, epochsPending: 1, movedBytes: 100, knownBytes: 10 },
      ...{ bytesPerSecond: 1, secondsLeft: undefined, problem: undefined },
    },
    lease: { state: 'held' as const },
    log: {
      ...{ directory: '/l', usedBytes: 1, reservedBytes: 2, limitBytes: 3, segments: 1, epochs: 1 },
      ...{ waitingWriters: 0, syncs: 1, failedSyncs: 0, damagedReads: 0 },
    },
  };
  return {
    ...{ kind: 'proxy', origin: 'nfs://store/a', writes: 'write-back', state: 'running', restarts: 0 },
    ...{ place: { host: '127.1.0.1', port: 2049, portmapper: 'none' }, lastError: undefined, cache: undefined },
    data: { server: { bytesIn: 700, bytesOut: 9000 }, layers, writeBack },
  };
}
