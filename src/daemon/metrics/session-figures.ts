/** The figures of one session, out of what its layers count. Names of layers and counters are theirs: one that is not there is left out. */
import type { SessionDetail } from '../contract.ts';
import type { Families } from './families.ts';

export function takeSession(families: Families, detail: SessionDetail): void {
  const { name: session, status } = detail;
  const layers = status?.data?.layers;
  if (layers === undefined) return;
  takeCaches(families, detail, layers);
  takeBytes(families, session, layers, status?.data?.server);
  takeCalls(families, session, layers.stats);
  takeOrigin(families, session, layers);
  takeChanges(families, detail);
}

type Layers = Readonly<Record<string, object>>;

/** Where each kind of hit is counted. */
const caches = [
  { layer: 'block-cache', in: 'block-cache', hits: 'hits', misses: 'misses' },
  { layer: 'attribute-cache', in: 'attribute-cache', hits: 'attributeHits', misses: 'attributeMisses' },
  { layer: 'name-cache', in: 'attribute-cache', hits: 'nameHits', misses: 'nameMisses' },
  { layer: 'access-cache', in: 'access-cache', hits: 'hits', misses: 'misses' },
] as const;

function takeCaches(families: Families, { name: session, status }: SessionDetail, layers: Layers): void {
  for (const { layer, in: counted, hits, misses } of caches) {
    families.count('viaduct_cache_hits_total', { session, layer }, figure(layers[counted], hits));
    families.count('viaduct_cache_misses_total', { session, layer }, figure(layers[counted], misses));
  }
  const labels = { session, layer: 'block-cache' };
  families.count('viaduct_cache_hit_bytes_total', labels, figure(layers['block-cache'], 'hitBytes'));
  families.count('viaduct_cache_miss_bytes_total', labels, figure(layers['block-cache'], 'missBytes'));
  const own = status?.cache?.own;
  families.gauge('viaduct_cache_occupied_bytes', { session }, own?.occupiedBytes);
  families.gauge('viaduct_cache_quota_bytes', { session }, own?.quotaBytes);
  const sources = { zero: 'zeroBytes', local: 'dedupeBytes', pack: 'packChunkBytes', plain: 'plainBytes' };
  for (const [source, key] of Object.entries(sources))
    families.count('viaduct_content_bytes_total', { session, source }, figure(layers.content, key));
}

function takeBytes(families: Families, session: string, layers: Layers, server: object | undefined): void {
  for (const [link, counted] of [
    ['clients', server],
    ['origin', layers.origin],
  ] as const) {
    families.count('viaduct_link_bytes_total', { session, link, direction: 'in' }, figure(counted, 'bytesIn'));
    families.count('viaduct_link_bytes_total', { session, link, direction: 'out' }, figure(counted, 'bytesOut'));
  }
  families.count('viaduct_payload_bytes_total', { session, direction: 'read' }, figure(layers.stats, 'bytesOut'));
  families.count('viaduct_payload_bytes_total', { session, direction: 'written' }, figure(layers.stats, 'bytesIn'));
  const blocks = layers['block-cache'];
  const sets = layers['working-sets'];
  const all = figure(blocks, 'prefetchBytes');
  // What is known to be wanted is part of what is prefetched, and counted as used where that is known.
  const ahead = all === undefined ? undefined : all - (figure(blocks, 'wantedBytes') ?? 0);
  const fetched = { 'read-ahead': ahead, 'working-set': figure(sets, 'fetchedBytes') };
  const used = { 'read-ahead': figure(blocks, 'prefetchUsedBytes'), 'working-set': figure(sets, 'usedBytes') };
  for (const cause of ['read-ahead', 'working-set'] as const) {
    families.count('viaduct_prefetched_bytes_total', { session, cause }, fetched[cause]);
    families.count('viaduct_prefetched_used_bytes_total', { session, cause }, used[cause]);
  }
}

/** Procedures that were called; the others would be three hundred series of zeros a session. */
function takeCalls(families: Families, session: string, stats: object | undefined): void {
  families.gauge('viaduct_calls_in_flight', { session }, figure(stats, 'inFlight'));
  for (const [procedure, counted] of Object.entries(part(stats, 'operations') ?? {})) {
    const count = figure(counted, 'count') ?? 0;
    if (count === 0) continue;
    const labels = { session, procedure };
    families.count('viaduct_call_errors_total', labels, figure(counted, 'errors'));
    const latency = part(counted, 'latency');
    const meanMs = figure(latency, 'meanMs') ?? 0;
    const told: unknown = latency === undefined ? undefined : Reflect.get(latency, 'below');
    const below = Array.isArray(told) ? told.filter(isBound) : [];
    families.durations({ labels, count, sumSeconds: (meanMs * count) / 1000, below });
  }
}

function isBound(value: unknown): value is [number, number] {
  return Array.isArray(value) && typeof value[0] === 'number' && typeof value[1] === 'number';
}

function takeOrigin(families: Families, session: string, layers: Layers): void {
  families.count('viaduct_origin_reconnects_total', { session }, figure(layers.origin, 'reconnects'));
  families.count('viaduct_origin_retransmissions_total', { session }, figure(layers.origin, 'retransmissions'));
  const link = part(layers['block-cache'], 'link');
  const roundTripMs = figure(link, 'roundTripMs');
  const bytesPerMs = figure(link, 'bytesPerMs');
  families.gauge('viaduct_origin_round_trip_seconds', { session }, roundTripMs && roundTripMs / 1000);
  families.gauge('viaduct_origin_rate_bytes_per_second', { session }, bytesPerMs && bytesPerMs * 1000);
}

function takeChanges(families: Families, { name: session, status }: SessionDetail): void {
  const writeBack = status?.data?.writeBack;
  // A session without a log has no changes that wait: zeros are true, and sums over sessions need them.
  families.gauge('viaduct_dirty_bytes', { session }, writeBack?.pendingBytes ?? 0);
  families.gauge('viaduct_dirty_files', { session }, writeBack?.pendingFiles ?? 0);
  families.gauge('viaduct_dirty_age_seconds', { session }, (writeBack?.oldestAgeMs ?? 0) / 1000);
  families.gauge('viaduct_conflicts', { session }, writeBack?.conflicts.length ?? 0);
  if (writeBack === undefined) return;
  families.gauge('viaduct_dirty_log_bytes', { session }, writeBack.log.reservedBytes);
  families.gauge('viaduct_dirty_log_limit_bytes', { session }, writeBack.log.limitBytes);
  families.count('viaduct_written_back_bytes_total', { session }, writeBack.drain.movedBytes);
  families.count('viaduct_written_back_known_bytes_total', { session }, writeBack.drain.knownBytes);
}

export function figure(counted: object | undefined, key: string): number | undefined {
  const value: unknown = counted === undefined ? undefined : Reflect.get(counted, key);
  return typeof value === 'number' ? value : undefined;
}

function part(counted: object | undefined, key: string): object | undefined {
  const value: unknown = counted === undefined ? undefined : Reflect.get(counted, key);
  return typeof value === 'object' && value !== null ? value : undefined;
}
