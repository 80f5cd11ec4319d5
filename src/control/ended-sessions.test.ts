/** What sessions that have ended left behind: found by notes that outlive them, until it is known that nothing is left. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { DirtyLog, systemLogDirectory } from '../dirty/mod.ts';
import { fileNotes } from '../layers/mod.ts';
import { endedSessions, LogIndex, type LogNote, stateBase } from './mod.ts';

const clock = systemClock;

interface Place {
  readonly index: LogIndex;
  readonly note: LogNote;
  openLog(): Promise<DirtyLog>;
}

function place(t: TestContext): Place {
  const top = mkdtempSync(join(tmpdir(), 'viaduct-ended-'));
  t.after(() => rmSync(top, { recursive: true }));
  const directory = join(top, 'dirty');
  const common = { identity: 'origin', keeps: false, limitBytes: 2 ** 26, bootId: 'boot', clock, log: silentLog };
  return {
    index: new LogIndex(join(top, 'state')),
    note: {
      ...{ directory, origin: 'nfs://store/', listen: '127.0.7.2:2049', policy: 'write-back', pid: 7 },
      ...{ startedAt: 'then', restart: 'viaduct proxy nfs://store/' },
    },
    openLog: async () =>
      DirtyLog.open({ directory: await systemLogDirectory(directory, { clock }), random: systemRandom, ...common }),
  };
}

async function write(log: DirtyLog, count: number): Promise<void> {
  const time = { seconds: 1, nanoseconds: 0 };
  const data = [new Uint8Array(count)];
  const change = { file: log.file('handle'), writer: 1, offset: 0, count, sizeAfter: count, time, data };
  await log.write(change);
  await log.stabilize();
}

/** As names and handles are kept in the note of a file. */
function coded(bytes: string): string {
  return Buffer.from(bytes).toString('base64');
}

const silent = { kind: 'silent', pid: 7, reason: 'says nothing' } as const;

test('the place of the notes: a variable, the host’s for root, else the user’s', () => {
  const at = (environment: Record<string, string>, uid: number) => stateBase({ environment, uid, home: '/home/u' });
  assert.equal(at({ VIADUCT_STATE_DIR: '/x', XDG_STATE_HOME: '/s' }, 0), '/x');
  assert.equal(at({ XDG_STATE_HOME: '/s' }, 0), '/var/lib/viaduct');
  assert.equal(at({ XDG_STATE_HOME: '/s' }, 5), '/s/viaduct');
  assert.equal(at({}, 5), '/home/u/.local/state/viaduct');
});

test('a log that was left with changes and a conflict is told with what is in it; an empty one is not', async (t) => {
  const { index, note, openLog } = place(t);
  const log = await openLog();
  index.write(note);
  await log.close();
  assert.deepEqual(await endedSessions(index, [], clock), [], 'nothing was written');
  const again = await openLog();
  await write(again, 5_000);
  const conflict = { atMs: 9, kind: 'changed', savedAs: { where: 'origin', name: 'b.viaduct' } };
  const noted = { ...conflict, savedAs: { where: 'origin', name: coded('b.viaduct') } };
  again.note(
    `${fileNotes}other`,
    Buffer.from(JSON.stringify({ place: { directory: coded('d'), name: coded('b') }, conflict: noted })),
  );
  await again.sync();
  await again.close();
  const [ended, ...more] = await endedSessions(index, [], clock);
  assert.deepEqual(more, []);
  assert.deepEqual([ended?.pendingBytes, ended?.pendingFiles, ended?.problem], [5_000, 1, undefined]);
  assert.deepEqual(ended?.conflicts, [{ path: 'b', handle: Buffer.from('other').toString('hex'), ...conflict }]);
  assert.equal(ended.restart, note.restart);
  index.remove(note.directory);
  assert.deepEqual(await endedSessions(index, [], clock), []);
});

test('a session that runs answers for itself; a log that nobody answers for is not taken for an empty one', async (t) => {
  const { index, note, openLog } = place(t);
  const log = await openLog();
  await write(log, 5_000);
  index.write(note);
  assert.deepEqual(await endedSessions(index, [silent], clock), [], 'counted as a process that does not answer');
  assert.match((await endedSessions(index, [], clock))[0]?.problem ?? '', /has it open/);
  const status = { pid: 7, startedAt: 'then', version: '0', command: 'proxy', residentBytes: 1, mountPoint: undefined };
  const answered = (startedAt: string) =>
    ({ kind: 'answered', status: { ...status, startedAt, sessions: [] } }) as const;
  assert.deepEqual(await endedSessions(index, [answered('then')], clock), []);
  await log.close();
  assert.equal((await endedSessions(index, [silent], clock))[0]?.pendingBytes, 5_000);
  assert.equal(
    (await endedSessions(index, [answered('later')], clock))[0]?.pendingBytes,
    5_000,
    'another process of that number',
  );
});

test('what cannot be looked at is said: a disk that is not mounted, a note that is not whole', async (t) => {
  const { index, note } = place(t);
  index.write(note);
  assert.match((await endedSessions(index, [], clock))[0]?.problem ?? '', /is its disk mounted/);
  writeFileSync(index.pathOf(note.directory), '{');
  const [ended] = await endedSessions(index, [], clock);
  assert.deepEqual(
    [ended?.directory, ended?.problem],
    [index.pathOf(note.directory), 'this note about a dirty log cannot be read'],
  );
});

test('a log that takes too long is not waited for; what an orderly end noted is told instead', async (t) => {
  const { index, note, openLog } = place(t);
  const log = await openLog();
  await write(log, 5_000);
  await log.close();
  let nowMs = 0;
  const slow = { ...clock, now: () => (nowMs += 1_500), after: clock.after.bind(clock) };
  index.write(note);
  assert.match((await endedSessions(index, [], slow))[0]?.problem ?? '', /takes long to read/);
  index.write({ ...note, left: { bytes: 5_000, files: 1, conflicts: 0 } });
  const [ended] = await endedSessions(index, [], slow);
  assert.deepEqual([ended?.pendingBytes, ended?.pendingFiles, ended?.problem], [5_000, 1, undefined]);
});
