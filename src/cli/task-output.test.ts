/** What a person reads who asked for a task: what is on its way, and that the origin is away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionStatus, TaskProgress } from '../sessions/mod.ts';
import { awayText, errorFor, lateError, startedText, timeoutOf, waitingText } from './task-output.ts';

const MiB = 1024 * 1024;
const writing: TaskProgress = {
  ...{ state: 'writing', totalBytes: 84 * MiB, pendingBytes: 84 * MiB, bytesPerSecond: 0 },
  ...{ secondsLeft: undefined, problem: undefined },
};
const away: TaskProgress = { ...writing, state: 'origin-away', problem: 'the origin has not answered for 3 s' };

test('a task that has begun says how much is on its way', () => {
  assert.equal(startedText(writing), 'begun: 84 MiB are on their way to the origin (--wait waits for them)');
  assert.equal(startedText({ ...writing, pendingBytes: 0 }), 'begun');
  assert.equal(waitingText(writing), 'waiting until 84 MiB are at the origin');
  assert.equal(waitingText({ ...writing, totalBytes: 0 }), 'waiting for the origin');
});

test('an origin that is away is told, whatever waits', () => {
  for (const progress of [away, { ...away, totalBytes: 0, pendingBytes: 0 }]) {
    assert.match(startedText(progress), /^begun, but the origin is away: the origin has not answered for 3 s; /);
    assert.match(waitingText(progress), /^the origin is away: the origin has not answered for 3 s; waiting/);
  }
});

test('a wait that ends by --timeout says what is missing and why; without --wait there is nothing to time', () => {
  const { code, message } = lateError(away, 90_000);
  assert.equal(code, 'TIMED_OUT');
  const why = '84 MiB are not at the origin yet; the origin has not answered for 3 s.';
  assert.equal(message, `not done after 1 min (--timeout): ${why}`);
  assert.match(lateError(undefined, 1_000).message, /it has not said how far it is/);
  assert.equal(timeoutOf({ wait: true, timeout: '90s' }), 90_000);
  assert.equal(timeoutOf({ wait: true }), undefined);
  for (const none of ['0', '0s', '0.0001ms'])
    assert.throws(() => timeoutOf({ wait: true, timeout: none }), { code: 'CONFIGURATION_INVALID' });
  assert.throws(() => timeoutOf({ timeout: '90s' }), { code: 'CONFIGURATION_INVALID', message: /--wait is missing/ });
});

test('a wait that ends before anything began says that the origin is away, if that is known', () => {
  const session = (layers: NonNullable<SessionStatus['data']>['layers']) => ({
    data: { server: {}, layers, writeBack: undefined },
  });
  assert.equal(awayText([session({}), session({ presence: {} }), { data: undefined }]), undefined);
  const away = awayText([session({ presence: { sinceMs: Date.now() - 90_000 } })]);
  assert.match(lateError(away, 1_000).message, /could be begun, for the origin has not answered since .* \(1 min\)\.$/);
});

test('what is not done because its process ended, and a conflict elsewhere, are told with what to do there', () => {
  const warm = { task: 'warm', file: '/a', what: 'whole' } as const;
  assert.equal(errorFor('closed', ['process 7 has ended'], warm).code, 'SESSION_NOT_FOUND');
  assert.doesNotMatch(errorFor('closed', ['process 7 has ended'], warm).remedy, /dirty log/);
  assert.match(errorFor('closed', ['process 7 has ended'], { task: 'write-back' }).remedy, /dirty log/);
  const here = '/a: conflict (changed); to clear it: viaduct conflicts clear /a';
  assert.match(errorFor('conflict', [here], { task: 'write-back' }).remedy, /conflicts` shows the command/);
  const there = 'what this host has brought on is at lan, kept; `viaduct conflicts` there says why';
  assert.match(errorFor('conflict', [there], { task: 'write-back' }).remedy, /on the host that is named above/);
});
