/** Which errors end a session, and which its worker; what it says at its end, and when. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assert as check, silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { CleanCache } from '../cache/mod.ts';
import { eventually } from '../testing/mod.ts';
import { HostedSession } from './hosted-session.ts';
import type { WorkerReport } from './messages.ts';
import { servePlan } from './plan-fixture.test.ts';

const tools = { clock: systemClock, random: systemRandom, log: silentLog };

interface Hosted {
  readonly session: HostedSession;
  /** Of all reports but log lines. */
  readonly kinds: () => string[];
  readonly lines: () => string[];
  readonly broken: unknown[];
  readonly isGone: () => boolean;
}

function hosted(t: TestContext, isolates = true, origin?: string): Hosted {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-hosted-'));
  mkdirSync(join(scratch, 'images'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const reports: WorkerReport[] = [];
  const broken: unknown[] = [];
  let isGone = false;
  const plan = servePlan({ origin: origin ?? join(scratch, 'images'), stateDirectory: join(scratch, 'state') });
  mkdirSync(plan.stateDirectory);
  const session = new HostedSession({
    ...{ number: 3, opening: { plan, port: undefined, life: 1 }, attach: () => undefined, isolates },
    breakDown: (error) => broken.push(error),
    onGone: () => {
      isGone = true;
    },
    post: (report) => reports.push(report),
    clock: systemClock,
    random: systemRandom,
  });
  session.begin();
  const kinds = (): string[] => reports.map(({ kind }) => kind).filter((kind) => kind !== 'log');
  const lines = (): string[] => reports.flatMap((report) => (report.kind === 'log' ? [report.message] : []));
  return { session, kinds, lines, broken, isGone: () => isGone };
}

function thrown(action: () => void): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return assert.fail('nothing was thrown');
}

test('an unexpected error is told first, then the last counters, then all is closed, once', async (t) => {
  const { session, kinds, broken, isGone } = hosted(t);
  await eventually(() => kinds().length === 1, 'it is ready');
  session.fail(new Error('boom'));
  session.fail(new Error('boom again'));
  session.obey({ kind: 'close', session: 3 });
  assert.deepEqual(kinds(), ['ready', 'failed']);
  await eventually(isGone, 'it is closed');
  session.fail(new Error('boom at last'));
  assert.deepEqual(kinds(), ['ready', 'failed', 'stats', 'closed']);
  assert.deepEqual(broken, []);
});

test('one that is told to close while it is opened is closed', async (t) => {
  const { session, kinds, isGone } = hosted(t);
  session.obey({ kind: 'close', session: 3 });
  await eventually(isGone, 'it is closed');
  assert.equal(kinds().at(-1), 'closed');
  assert.equal(kinds().includes('failed'), false);
});

test('one that fails while it is opened serves nobody', async (t) => {
  const { session, kinds, isGone } = hosted(t);
  session.fail(new Error('boom'));
  await eventually(isGone, 'it is closed');
  assert.deepEqual(kinds(), ['failed', 'closed']);
});

test('one that cannot be opened says why, and is gone; what it throws later is logged', async (t) => {
  const { session, kinds, lines, isGone } = hosted(t, true, '/nowhere/at/all');
  await eventually(isGone, 'it is gone');
  session.fail(new Error('boom'));
  await eventually(() => lines().includes('an unexpected error in a session that ends'), 'the late error is logged');
  assert.deepEqual(kinds(), ['failed', 'closed']);
});

test('what the shared cache throws ends the worker, whoever called it; and so does everything where nothing is isolated', async (t) => {
  const { session, kinds, broken, isGone } = hosted(t);
  const ofCache = thrown(() => CleanCache.attach({ directory: '/nowhere', attachment: 1, memory: {} }, tools));
  session.fail(ofCache);
  assert.deepEqual(broken, [ofCache]);
  session.fail(thrown(() => check(false, 'of a session')));
  assert.equal(broken.length, 1);
  await eventually(isGone, 'it is closed');
  assert.deepEqual(kinds(), ['failed', 'closed']);

  const alone = hosted(t, false);
  await eventually(() => alone.kinds().length === 1, 'it is ready');
  alone.session.fail(new Error('boom'));
  assert.equal(alone.broken.length, 1);
  alone.session.obey({ kind: 'close', session: 3 });
  await eventually(alone.isGone, 'it is closed');
  assert.deepEqual(alone.kinds(), ['ready', 'closed']);
});
