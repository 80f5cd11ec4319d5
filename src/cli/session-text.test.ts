import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionSample, SessionView } from '../daemon/mod.ts';
import { closedText, sessionTable, settingOf, tableOf } from './session-text.ts';

const view: SessionView = {
  ...{ id: 's-a', name: 'vm7', kind: 'proxy', origin: 'store:/vm7', policy: 'vm-disk', state: 'running' },
  ...{ url: 'nfs://127.1.0.1/', isTemporary: true, createdAt: '', restarts: 0 },
};

const figures: SessionSample = {
  ...{ id: 's-a', name: 'vm7', state: 'running', atMs: 0, isAnswering: true, hits: 0, misses: 0, readBytes: 0 },
  ...{ writtenBytes: 0, linkInBytes: 0, linkOutBytes: 0, prefetchedBytes: 0, prefetchUsedBytes: 0, callsInFlight: 0 },
  ...{ dirtyBytes: 0, dirtyFiles: 0, dirtyAgeMs: 0, conflicts: 0, originAwayMs: 0 },
};

test('columns are as wide as their longest cell, numbers at the right', () => {
  assert.deepEqual(
    tableOf(
      ['A', 'N'],
      [
        ['long', '1'],
        ['x', '200'],
      ],
      [1],
    ),
    ['A       N', 'long    1', 'x     200'],
  );
});

test('a session whose worker says nothing has no figures, which are not zero', () => {
  const [, row] = sessionTable([view], []);
  assert.match(row!, /^vm7 +running, temporary +nfs:\/\/127\.1\.0\.1\/ +vm-disk +\? +- +store/);
});

test('a session that runs without its origin, or with a conflict, says so', () => {
  const sample = { ...figures, originAwayMs: 60_000, conflicts: 2 };
  assert.match(sessionTable([view], [sample])[1]!, /^vm7 +running, temporary, origin away 1 min, 2 in conflict +nfs/);
});

test('settings are read as in viaduct.yaml, and a slip is told', () => {
  const keys = ['pin', 'dirty-limit', 'attribute-timeout'];
  assert.deepEqual(settingOf('pin=true', keys), ['pin', true]);
  assert.deepEqual(settingOf('dirty-limit=20G', keys), ['dirty-limit', '20G']);
  assert.deepEqual(settingOf('attribute-timeout={"file":["1s","2s"]}', keys), [
    'attribute-timeout',
    { file: ['1s', '2s'] },
  ]);
  assert.throws(() => settingOf('dirty-limt=1G', keys), /did you mean "dirty-limit"/);
  assert.throws(() => settingOf('pin', keys), { code: 'CONFIGURATION_INVALID' });
});

test('the end of a session says what it left', () => {
  assert.equal(closedText({ id: 's-a', name: 'vm7' }), 'vm7 is closed');
  const left = {
    policy: 'write-back',
    directory: '/log',
    bytes: 4096,
    files: 1,
    conflicts: 0,
    lostTo: undefined,
  } as const;
  assert.match(closedText({ id: 's-a', name: 'vm7', left }), /4\.0 KiB of 1 file is not at the origin yet/);
});
