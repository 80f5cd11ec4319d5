/** Sessions that open by themselves, while somebody closes or reopens them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, silentLog } from '../../base/mod.ts';
import type { RunningSession, StartOptions } from '../../sessions/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { configuration, house } from './fixture.test.ts';
import type { Ground } from './ground.ts';
import { openKept } from './open.ts';
import { ManagedSession } from './session.ts';
import type { StoredSession } from './session-store.ts';

interface Asked {
  readonly options: StartOptions;
  readonly started: PromiseWithResolvers<RunningSession>;
}

/** A session that is to run, in a daemon whose pool starts what it is told to when the test says so. */
function played() {
  const clock = new SimulatedClock();
  const asked: Asked[] = [];
  const resolved = { policy: 'home', settings: [], onClose: 'keep' } as const;
  const row = { id: 's-a', name: 'vm', state: 'running', request: { origin: '/' }, plan: { kind: 'proxy' }, resolved };
  const session = new ManagedSession({ createdMs: 0, ...row } as unknown as StoredSession, silentLog);
  const ground = {
    ...{ clock, log: silentLog, sessions: new Map([['s-a', session]]), isStopping: () => false },
    events: { tell: () => {} },
    pool: {
      start: (_plan: unknown, options: StartOptions) => {
        const started = Promise.withResolvers<RunningSession>();
        asked.push({ options, started });
        return started.promise;
      },
    },
  } as unknown as Ground;
  return { clock, asked, session, ground };
}

test('one that is closed while its cache is opened is not started', async () => {
  const { clock, asked, session, ground } = played();
  const opening = openKept(ground, session);
  assert.equal(asked[0]?.options.isWanted?.(), true);
  session.begin('closing');
  assert.equal(asked[0]?.options.isWanted?.(), false);
  asked[0]?.started.reject(new Error('not wanted'));
  await opening;
  ground.sessions.delete('s-a');
  session.done();
  await clock.advance(60_000);
  assert.equal(asked.length, 1);
});

test('one whose close or reopening came to nothing is opened then, also if it was to be tried again meanwhile', async () => {
  for (const when of ['opening', 'waiting'] as const) {
    const { clock, asked, session, ground } = played();
    const opening = openKept(ground, session);
    if (when === 'opening') session.begin('closing');
    asked[0]?.started.reject(new Error('no cache'));
    await opening;
    if (when === 'waiting') {
      assert.equal(session.trouble?.code, 'UNEXPECTED');
      session.begin('closing');
    }
    await clock.advance(60_000);
    assert.equal(asked.length, 1);
    session.done();
    assert.equal(asked.length, 2);
    assert.equal(asked[1]?.options.isWanted?.(), true);
  }
});

test('a session that is closed before its turn to be opened came is not opened any more', async (t) => {
  const place = house(t);
  const count = limits.sessionOpenings + 2;
  const common = { kind: 'proxy', cache: null, allow: [], squash: 'none', takeOver: false } as const;
  const sessions = Array.from({ length: count }, (_, index) => ({
    ...{ ...common, name: `vm-${index}`, origin: place.images, listen: '127.0.0.1:0' },
    settings: { writes: 'read-only' as const },
  }));
  const manager = await place.open({ configuration: configuration({ sessions }) });
  await manager.close(`vm-${count - 1}`);
  await manager.settled;
  const inPool = (await manager.threads()).reduce((sum, { sessions: its }) => sum + its, 0);
  assert.deepEqual([manager.list().length, inPool], [count - 1, count - 1]);
});
