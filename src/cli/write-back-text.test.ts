/** The one answer, as people read it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndedSession } from '../control/mod.ts';
import type { SessionStatus, WriteBackStatus } from '../sessions/mod.ts';
import { describeEndedSession, describeWriteBack, isEverythingAtOrigin, theOneAnswer } from './write-back-text.ts';

const MiB = 1024 * 1024;
const quiet: WriteBackStatus = {
  policy: 'write-back',
  commit: 'local',
  isAtOrigin: true,
  pendingBytes: 0,
  pendingFiles: 0,
  oldestAgeMs: undefined,
  drain: {
    ...{
      state: 'idle',
      pendingBytes: 0,
      epochsPending: 0,
      knownBytes: 0,
      movedBytes: 0,
      bytesPerSecond: 0,
      secondsLeft: 0,
    },
    problem: undefined,
  },
  files: [],
  filesLeftOff: 0,
  conflicts: [],
  lease: { state: 'none' },
  log: {
    ...{
      directory: '/log',
      usedBytes: 0,
      reservedBytes: 0,
      limitBytes: 4096 * MiB,
      segments: 1,
      epochs: 0,
      waitingWriters: 0,
      syncs: 0,
    },
    ...{ failedSyncs: 0, damagedReads: 0 },
  },
};
const busy: WriteBackStatus = {
  ...quiet,
  isAtOrigin: false,
  pendingBytes: 84 * MiB,
  pendingFiles: 2,
  oldestAgeMs: 12_000,
  drain: { ...quiet.drain, state: 'writing', pendingBytes: 84 * MiB, bytesPerSecond: 2.1 * MiB, secondsLeft: 40 },
  files: [{ path: '/golden/disk.raw', handle: 'aa', bytes: 84 * MiB, size: 100 * MiB, oldestAgeMs: 12_000 }],
};

function session(
  writeBack: WriteBackStatus | undefined,
  writes: SessionStatus['writes'] = 'write-back',
): SessionStatus {
  return {
    ...{ kind: 'proxy', origin: 'nfs://x/', writes, state: 'running', place: undefined, restarts: 0 },
    ...{ lastError: undefined, cache: undefined, data: { server: {}, layers: {}, writeBack } },
  };
}

test('the one answer: how much of what is missing, how old, and when it will be there', () => {
  assert.equal(
    theOneAnswer([session(busy)], 0),
    '84 MiB of 2 files are not at the origin yet, oldest 12 s, done in about 40 s at 2.1 MiB/s',
  );
  assert.equal(theOneAnswer([session(quiet)], 0), 'everything is at the origin');
  assert.equal(theOneAnswer([session(undefined, 'write-through')], 0), 'everything is at the origin');
  assert.match(
    theOneAnswer([session(busy), session({ ...busy, oldestAgeMs: 60_000 })], 0),
    /^168 MiB of 4 files .*oldest 1 min, done in about 40 s at 4\.2 MiB\/s$/,
  );
});

test('what is not moving says why, and nothing is promised', () => {
  const still = (state: WriteBackStatus['drain']['state'], problem?: string): string => {
    const drain = { ...busy.drain, state, bytesPerSecond: 0, secondsLeft: undefined, problem };
    return theOneAnswer([session(quiet), session({ ...busy, drain })], 0);
  };
  assert.match(still('origin-away'), /oldest 12 s, waiting for the origin, which is away$/);
  assert.match(still('refused', 'NOSPC'), /refused by the origin: NOSPC$/);
  assert.match(still('lease-lost', 'host b'), /another host took the write lease: host b$/);
});

test('what a session that has ended left is told as missing, with the command that goes on', () => {
  const ended: EndedSession = {
    ...{ directory: '/log', origin: 'nfs://x/', listen: '127.0.7.2:2049', policy: 'write-back', restart: 'viaduct p' },
    ...{ pendingBytes: MiB, pendingFiles: 1, conflicts: [], unnamedConflicts: 0, problem: undefined },
  };
  assert.equal(
    theOneAnswer([session(quiet)], 0, [ended]),
    '1.0 MiB of 1 file is not at the origin: it is in /log, of a session that has ended',
  );
  assert.equal(isEverythingAtOrigin([session(quiet)], 0, [ended]), false);
  assert.match(theOneAnswer([], 0, [{ ...ended, policy: 'redirect' }]), /is kept in \/log, of a redirect session/);
  const unread = { ...ended, pendingBytes: 0, pendingFiles: 0, problem: 'EIO' };
  assert.match(theOneAnswer([], 0, [unread]), /^what \/log .* is not known: EIO/);
  assert.equal(isEverythingAtOrigin([], 0, [unread]), false);
  assert.match(theOneAnswer([], 0, [{ ...ended, problem: 'it is damaged' }]), /^at least 1\.0 MiB/);
  assert.equal(describeEndedSession(ended).at(-1), '  restart   viaduct p');
  const lost = describeEndedSession({ ...ended, lostTo: 'host b', restart: 'viaduct p --take-over' });
  assert.match(lost.join('\n'), /lease {5}LOST to host b.*the restart below.*\n {2}restart {3}viaduct p --take-over$/);
});

test('conflicts that could not be named are counted, and do not hide behind an error', () => {
  const ended: EndedSession = {
    ...{ directory: '/log', origin: 'nfs://x/', listen: '127.0.7.2:2049', policy: 'write-back', restart: 'viaduct p' },
    ...{ pendingBytes: 0, pendingFiles: 0, conflicts: [], unnamedConflicts: 2, problem: undefined },
  };
  assert.equal(theOneAnswer([], 0, [ended]), 'all else is at the origin; 2 files are in conflict');
  const lines = describeEndedSession(ended).join('\n');
  assert.match(lines, /CONFLICT {2}2 files are in conflict.*viaduct log show \/log/);
  assert.doesNotMatch(lines, /error/);
});

test('redirect, conflicts and sessions that do not answer are told apart', () => {
  assert.equal(
    theOneAnswer([session({ ...busy, policy: 'redirect', pendingFiles: 1 }, 'redirect')], 0),
    '84 MiB of 1 file is kept here and not for the origin (redirect)',
  );
  const conflict = { path: '/a', handle: 'aa', kind: 'changed', atMs: 0, savedAs: undefined } as const;
  const told = session({
    ...quiet,
    isAtOrigin: false,
    conflicts: [{ ...conflict, savedAs: { where: 'origin', name: '/a.viaduct' } }],
  });
  assert.equal(theOneAnswer([told], 0), 'all else is at the origin; 1 file is in conflict');
  const dead = { ...session(undefined), data: undefined };
  assert.match(theOneAnswer([dead], 1), /^2 sessions do not answer: what they keep is not known$/);
  assert.equal(isEverythingAtOrigin([dead], 0), false);
  assert.equal(isEverythingAtOrigin([session(quiet)], 1), false);
  assert.equal(isEverythingAtOrigin([session(quiet), session(undefined, 'read-only')], 0), true);
  assert.equal(isEverythingAtOrigin([session(busy)], 0), false);
});

test('details: files, log, lease; long lists say what they leave out', () => {
  const files = Array.from({ length: 12 }, (_, i) => ({ ...busy.files[0]!, path: `/f${i}` }));
  const lost = { state: 'lost', holder: 'host b', sinceMs: 0 } as const;
  const lines = describeWriteBack({ ...busy, files, filesLeftOff: 3, lease: lost }).join('\n');
  assert.match(lines, /\/f9: 84 MiB, oldest 12 s/);
  assert.doesNotMatch(lines, /\/f10/);
  assert.match(lines, /and 5 more/);
  assert.match(lines, /LOST to host b/);
  assert.match(lines, /0 B of 4\.0 GiB \(0 %\)/);
});

test('a lease that cannot be asked for because the origin is silent: the silence is told, and since when', () => {
  const originAwaySinceMs = Date.now() - 60_000;
  const drain = { ...busy.drain, state: 'origin-away', bytesPerSecond: 0, secondsLeft: undefined } as const;
  const away: WriteBackStatus = { ...busy, drain, lease: { state: 'acquiring' }, originAwaySinceMs };
  const since = new Date(originAwaySinceMs).toISOString();
  assert.ok(
    theOneAnswer([session(away)], 0).endsWith(`waiting for the origin, which has not answered since ${since} (1 min)`),
  );
  assert.ok(describeWriteBack(away).includes('  lease     to be asked for as soon as the origin answers'));
  const held: WriteBackStatus = { ...busy, lease: { state: 'acquiring', problem: 'host b has it' } };
  assert.match(describeWriteBack(held).join('\n'), /changes .* waiting for the write lease: host b has it/);
});

test('the room of the log’s disk: what records fill and what is reserved; a disk that is full, and what follows', () => {
  const log = { ...busy.log, usedBytes: MiB, reservedBytes: 64 * MiB };
  const line = '  log       /log: 64 MiB of 4.0 GiB (2 %) reserved, 1.0 MiB of it in use';
  assert.deepEqual(describeWriteBack({ ...busy, log })[1], line);
  const disk = { sizeBytes: 1024 * MiB, freeBytes: 0 };
  const of = (state: 'short' | 'full', policy: 'write-back' | 'redirect' = 'write-back') =>
    describeWriteBack({ ...busy, policy, log: { ...log, disk: { ...disk, state } } })[2];
  const waits = 'writers wait until the origin has taken what is there. Make room on it';
  assert.equal(of('full'), `  log       its disk is FULL: 0 B of 1.0 GiB free; ${waits}`);
  assert.equal(of('short'), `  log       its disk is nearly full: 0 B of 1.0 GiB free; then ${waits}`);
  assert.match(of('full', 'redirect') ?? '', /are answered with "no space"/);
});

test('what Viaducts behind a session keep is part of the one answer, with where it is', () => {
  const hop = {
    ...{ host: 'lan', policy: 'write-back' as const, isAtNext: false, pendingBytes: 3 * MiB, pendingFiles: 1 },
    ...{ conflicts: 0, oldestAgeMs: 5_000, state: 'writing' as const, secondsLeft: undefined },
  };
  const behind = (change: object): SessionStatus => {
    const told = session(quiet);
    const chain = { isAtOrigin: false, hops: [hop], end: 'origin' as const, ...change };
    return { ...told, data: { ...told.data!, chain } };
  };
  assert.equal(
    theOneAnswer([behind({})], 0),
    '3.0 MiB of 1 file still at lan, not at the origin yet, oldest 5 s, writing',
  );
  assert.equal(isEverythingAtOrigin([behind({})], 0), false);
  // Two sessions behind one proxy tell of the same.
  assert.equal(theOneAnswer([behind({}), behind({})], 0), theOneAnswer([behind({})], 0));
  const silent = behind({ hops: [], end: 'silent' });
  assert.match(theOneAnswer([silent], 0), /does not answer: what it keeps is not known/);
  assert.equal(isEverythingAtOrigin([silent], 0), false);
  const done = behind({ isAtOrigin: true, hops: [{ ...hop, isAtNext: true, pendingBytes: 0, pendingFiles: 0 }] });
  assert.equal(theOneAnswer([done], 0), 'everything is at the origin');
  assert.equal(isEverythingAtOrigin([done], 0), true);
});

test('what was moved to another Viaduct is not said to be at the origin', () => {
  const moved = { ...quiet, drain: { ...quiet.drain, movedBytes: 8 * MiB } };
  assert.ok(describeWriteBack(moved).includes('  moved     8.0 MiB to the origin since the start'));
  const line = '  moved     8.0 MiB to the next one since the start';
  assert.ok(describeWriteBack(moved, true).includes(line));
  assert.ok(describeWriteBack({ ...moved, commit: 'next' }).includes(line));
});
