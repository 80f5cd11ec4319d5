/** The lease of a session whose origin is there, is away, or is held by another host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViaductError } from '../base/mod.ts';
import { LogLines, SimulatedClock, settle } from '../testing/mod.ts';
import type { LeaseState } from '../vfs/mod.ts';
import { SessionLease, type SessionLeaseOptions } from './session-lease.ts';

function house(isAway: boolean) {
  const clock = new SimulatedClock();
  const log = new LogLines();
  let state: LeaseState = { state: 'none' };
  let holder: string | undefined;
  let released = 0;
  const waiting: (() => void)[] = [];
  const acquireLease = async (): Promise<LeaseState> => {
    if (isAway) await new Promise<void>((resolve) => waiting.push(resolve));
    if (holder !== undefined) throw new ViaductError('LEASE_HELD', { cause: `${holder} has it`, remedy: '' });
    state = { state: 'held' };
    return state;
  };
  const origin = {
    stats: () => ({ opening: isAway }),
    opened: async () => {},
    channel: {
      acquireLease,
      lease: () => state,
      checkLease: async () => {
        if (isAway) await new Promise<void>(() => {});
        state = { state: 'lost', holder: 'host b', sinceMs: 1 };
      },
      release: () => {
        released++;
        return isAway ? new Promise<void>(() => {}) : Promise.resolve();
      },
    },
  } as unknown as SessionLeaseOptions['origin'];
  return {
    clock,
    log,
    acquire: () =>
      SessionLease.acquire({ origin, takeOver: false, holder: 'me', instance: 'i'.repeat(16), clock, log }),
    heldBy: (name: string | undefined) => {
      holder = name;
    },
    comeBack: async () => {
      isAway = false;
      for (const go of waiting.splice(0)) go();
      await settle();
    },
    goAway: () => {
      isAway = true;
    },
    released: () => released,
  };
}

test('an origin that is there gives the lease, or fails the start', async () => {
  const at = house(false);
  assert.deepEqual((await at.acquire()).state(), { state: 'held' });
  at.heldBy('host b');
  await assert.rejects(at.acquire(), { code: 'LEASE_HELD' });
});

test('an origin that is away does not hold the start up, and nothing may be written before the lease is there', async () => {
  const at = house(true);
  const lease = await at.acquire();
  assert.deepEqual(lease.state(), { state: 'acquiring' });
  await at.comeBack();
  assert.deepEqual(lease.state(), { state: 'held' });
});

test('held by another host once the origin is back, it is asked for again until it is free', async () => {
  const at = house(true);
  const lease = await at.acquire();
  at.heldBy('host b');
  await at.comeBack();
  assert.deepEqual(lease.state(), { state: 'acquiring', problem: 'host b has it' });
  assert.ok(at.log.has('no write lease'));
  at.heldBy(undefined);
  await at.clock.advance(10_000);
  await settle();
  assert.deepEqual(lease.state(), { state: 'held' });
});

test('the end gives it back, and does not wait for an origin that is away', async () => {
  const at = house(true);
  const lease = await at.acquire();
  const over = lease.release();
  await at.clock.advance(1_000);
  await over;
  assert.equal(at.released(), 1);
  await lease.release(true);
  assert.equal(at.released(), 2, 'known to be away: told, and not waited for at all');
});

test('whoever asks learns that it was taken over, and is not held up by an origin that is away', async () => {
  const at = house(false);
  const lease = await at.acquire();
  at.goAway();
  const asked = lease.check();
  await at.clock.advance(500);
  await asked;
  assert.deepEqual(lease.state(), { state: 'held' });
  await at.comeBack();
  await lease.check();
  assert.equal(lease.state().state, 'lost');
});
