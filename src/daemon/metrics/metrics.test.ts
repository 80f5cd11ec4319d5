import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { limits } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { type ApiFixture, ask, MemoryManager, openApi } from '../api/fixture.test.ts';
import { type Family, parseExposition, type Series } from './exposition.test.ts';
import { Metrics } from './metrics.ts';
import { countedStatus } from './probe.test.ts';

const none = { open: 0, cutOff: 0, cutOffBytes: 0 };

function value(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number | undefined {
  const fits = (series: Series): boolean => Object.entries(labels).every(([key, text]) => series.labels[key] === text);
  return [...families.values()].flatMap(({ series }) => series).find((one) => one.name === name && fits(one))?.value;
}

describe('the counters of the daemon', () => {
  let api: ApiFixture;
  before(async () => {
    api = await openApi();
    await api.manager.create({ origin: 'store:/a', name: 'odd "name"\\' });
    api.manager.status = await countedStatus();
  });
  after(() => api.close());

  it('are what Prometheus reads, each with help, a unit and the prefix', async () => {
    const told = await ask(api.server, '/metrics');
    assert.equal(told.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    const families = parseExposition(told.text);
    for (const { name, type, help } of families.values()) {
      assert.match(name, /^viaduct_[a-z_]+$/);
      assert.ok(help.length > 10 && help.endsWith('.'), help);
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.doesNotMatch(name, /_(ms|milliseconds|kb|mib|percent)(_|$)/);
    }
  });

  it('tell what the layers of a session counted', async () => {
    const families = parseExposition((await ask(api.server, '/metrics')).text);
    const session = 'odd "name"\\';
    const told = (name: string, labels: Record<string, string> = {}) => value(families, name, { session, ...labels });
    assert.equal(told('viaduct_cache_hits_total', { layer: 'block-cache' }), 90);
    assert.equal(told('viaduct_cache_misses_total', { layer: 'name-cache' }), 4);
    assert.equal(told('viaduct_link_bytes_total', { link: 'origin', direction: 'in' }), 5000);
    assert.equal(told('viaduct_link_bytes_total', { link: 'clients', direction: 'out' }), 9000);
    assert.equal(told('viaduct_prefetched_bytes_total', { cause: 'read-ahead' }), 600);
    assert.equal(told('viaduct_prefetched_used_bytes_total', { cause: 'read-ahead' }), 450);
    assert.equal(told('viaduct_prefetched_used_bytes_total', { cause: 'working-set' }), 300);
    assert.equal(told('viaduct_dirty_bytes'), 12_345);
    assert.equal(told('viaduct_dirty_age_seconds'), 2.5);
    assert.equal(told('viaduct_call_duration_seconds_count', { procedure: 'getattr' }), 3);
    assert.equal(told('viaduct_call_duration_seconds_bucket', { procedure: 'getattr', le: '0.004096' }), 2);
    assert.equal(told('viaduct_call_duration_seconds_sum', { procedure: 'getattr' }), 0.014);
    assert.equal(told('viaduct_call_duration_seconds_count', { procedure: 'mknod' }), undefined);
    assert.equal(value(families, 'viaduct_sessions', { state: 'running' }), 1);
    assert.equal(value(families, 'viaduct_event_loop_delay_seconds', { thread: 'main', statistic: 'p99' }), 0.002);
    assert.equal(value(families, 'viaduct_thread_utilization_ratio', { thread: 'main' }), 0.25);
    assert.ok(value(families, 'viaduct_process_resident_memory_bytes')! > 1e6);
  });

  it('are the same if nothing happened in between', async () => {
    const still = async (): Promise<string[]> =>
      (await ask(api.server, '/metrics')).text.split('\n').filter((line) => !line.startsWith('viaduct_process_'));
    assert.deepEqual(await still(), await still());
  });
});

describe('a scrape', () => {
  it('asks each session once, however many scrape at a time', async () => {
    const manager = new MemoryManager();
    for (let i = 0; i < 5; i++) await manager.create({ origin: '/a' });
    const hold = Promise.withResolvers<void>();
    manager.hold = hold.promise;
    const metrics = new Metrics({ manager, clock: new SimulatedClock() });
    const scrapes = Array.from({ length: 20 }, () => metrics.text(none));
    assert.equal(manager.shown, 5);
    hold.resolve();
    assert.equal(new Set(await Promise.all(scrapes)).size, 1);
    await metrics.text(none);
    assert.equal(manager.shown, 10);
  });

  it('waits a second for sessions that do not answer, and says which', async () => {
    const manager = new MemoryManager();
    await manager.create({ origin: '/a', name: 'silent' });
    manager.hold = new Promise(() => {});
    const clock = new SimulatedClock();
    const scrape = new Metrics({ manager, clock }).text(none);
    await clock.advance(1_000);
    const families = parseExposition(await scrape);
    assert.equal(value(families, 'viaduct_session_up', { session: 'silent' }), 0);
    assert.equal(value(families, 'viaduct_scrape_silent_sessions'), 1);
    assert.equal(clock.timers(), 0);
  });

  it('has series of its own for so many sessions only, and counts the others', async () => {
    const manager = new MemoryManager();
    for (let i = 0; i < limits.metricSessions + 3; i++) await manager.create({ origin: '/a' });
    const families = parseExposition(await new Metrics({ manager, clock: new SimulatedClock() }).text(none));
    assert.equal(families.get('viaduct_session_up')!.series.length, limits.metricSessions);
    assert.equal(value(families, 'viaduct_scrape_sessions_left_off'), 3);
    assert.equal(manager.shown, limits.metricSessions);
  });
});
