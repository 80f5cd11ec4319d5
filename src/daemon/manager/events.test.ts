/** What happens, in order, to whoever listens, and to whoever comes back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, silentLog } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import type { DaemonEvent } from '../contract.ts';
import { ManagerEvents } from './events.ts';

test('events are numbered without gaps; who comes back gets what is kept behind the last that it saw', () => {
  const events = new ManagerEvents({ clock: new SimulatedClock(), log: silentLog });
  const seen: number[] = [];
  const end = events.subscribe(({ number }) => seen.push(number));
  for (let i = 0; i < limits.daemonEvents + 50; i++) events.tell({ kind: 'session-state', session: `s${i}` });
  end();
  events.tell({ kind: 'session-closed' });
  assert.deepEqual(
    seen,
    Array.from({ length: limits.daemonEvents + 50 }, (_, index) => index + 1),
  );
  const missed: DaemonEvent[] = [];
  events.subscribe((event) => missed.push(event), seen.at(-1));
  assert.deepEqual(
    missed.map(({ number, kind }) => [number, kind]),
    [[limits.daemonEvents + 51, 'session-closed']],
  );
  const late: number[] = [];
  events.subscribe(({ number }) => late.push(number), 3);
  assert.deepEqual([late[0], late.length], [52, limits.daemonEvents]);
});

test('a listener that throws keeps nobody else from hearing', () => {
  const events = new ManagerEvents({ clock: new SimulatedClock(), log: silentLog });
  let heard = 0;
  events.subscribe(() => {
    throw new Error('boom');
  });
  events.subscribe(() => heard++);
  events.tell({ kind: 'configuration-loaded' });
  assert.equal(heard, 1);
});
