/**
 * The few figures of a session that are worth a plot, taken from all that its layers count: what `GET /v1/samples`, `viaduct top` and the
 * page show. Counters grow from the session's start; a rate is the difference of two samples.
 */
import type { Clock } from '../base/mod.ts';
import type { SessionStatus } from '../sessions/mod.ts';
import type { SessionSample, SessionView } from './contract.ts';

export function sampleOf(
  view: SessionView,
  status: SessionStatus | undefined,
  clock: Pick<Clock, 'now' | 'wallTimeMs'>,
): SessionSample {
  const { id, name, state } = view;
  const layers = status?.data?.layers;
  const count = (layer: string, key: string): number => countIn(layers?.[layer], key);
  const writeBack = status?.data?.writeBack;
  // Both are dates, by this host's clock; the write-back may have noticed first.
  const awaySince = [count('presence', 'sinceMs'), writeBack?.originAwaySinceMs ?? 0].filter((sinceMs) => sinceMs > 0);
  return {
    ...{ id, name, state, atMs: clock.now() },
    isAnswering: layers !== undefined,
    hits: count('block-cache', 'hits'),
    misses: count('block-cache', 'misses'),
    readBytes: count('stats', 'bytesOut'),
    writtenBytes: count('stats', 'bytesIn'),
    linkInBytes: count('origin', 'bytesIn'),
    linkOutBytes: count('origin', 'bytesOut'),
    prefetchedBytes: count('block-cache', 'prefetchBytes'),
    prefetchUsedBytes: count('block-cache', 'prefetchUsedBytes') + count('working-sets', 'usedBytes'),
    callsInFlight: count('stats', 'inFlight'),
    dirtyBytes: writeBack?.pendingBytes ?? 0,
    dirtyFiles: writeBack?.pendingFiles ?? 0,
    dirtyAgeMs: writeBack?.oldestAgeMs ?? 0,
    conflicts: writeBack?.conflicts.length ?? 0,
    originAwayMs: awaySince.length === 0 ? 0 : Math.max(0, clock.wallTimeMs() - Math.min(...awaySince)),
  };
}

function countIn(layer: object | undefined, key: string): number {
  const value: unknown = layer === undefined ? undefined : Reflect.get(layer, key);
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
