/** What sessions that have ended left behind: found by notes that outlive them, until it is known that nothing is left. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { DirtyLog, type LogId, logId, systemLogDirectory } from '../dirty/mod.ts';
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
  assert.deepEqual(ended?.conflicts, [{ path: '.../b', handle: Buffer.from('other').toString('hex'), ...conflict }]);
  assert.equal(ended.restart, note.restart);
  index.remove(note);
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
    (await endedSessions(index, [answered('then')], clock))[0]?.pendingBytes,
    5_000,
    'a session of a daemon, which goes on',
  );
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
  index.write({ ...note, left: { bytes: 5_000, files: 1, conflicts: 2 } });
  const [ended] = await endedSessions(index, [], slow);
  assert.deepEqual([ended?.pendingBytes, ended?.pendingFiles, ended?.problem], [5_000, 1, undefined]);
  assert.deepEqual([ended?.conflicts, ended?.unnamedConflicts], [[], 2]);
});

test('a log that is damaged is not taken for an empty one', async (t) => {
  const { index, note, openLog } = place(t);
  const log = await openLog();
  await write(log, 5_000);
  await log.close();
  index.write(note);
  const path = join(note.directory, readdirSync(note.directory).find((name) => name.startsWith('segment')) ?? '');
  const bytes = readFileSync(path);
  // The head of the record of the 5,000 zeros: their number, then the record's.
  const head = bytes.indexOf(Buffer.from('8813000001', 'hex').subarray(0, 4)) - 12;
  assert.equal(bytes.toString('latin1', head, head + 4), 'VDLR');
  bytes[head + 20]! ^= 1;
  writeFileSync(path, bytes);
  const [ended] = await endedSessions(index, [], clock);
  assert.deepEqual([ended?.pendingBytes, ended?.pendingFiles], [0, 0], 'what the record held is not known');
  assert.match(ended?.problem ?? '', /^it is damaged: .*`viaduct log show/);
});

test('a note of a log in whose place another was begun stays, and says so, until that log is back', async (t) => {
  const { index, note, openLog } = place(t);
  const log = await openLog();
  await write(log, 5_000);
  await log.close();
  const { directory } = note;
  const own = { ...note, log: idOf(await logId(directory, clock)) };
  index.write(own);
  renameSync(directory, `${directory}.away`);
  const fresh = await openLog();
  const other = { ...note, startedAt: 'now', log: idOf(await logId(directory, clock)) };
  assert.notEqual(other.log, own.log);
  assert.match((await endedSessions(index, [], clock))[0]?.problem ?? '', /another log is in its place/);
  index.write(other);
  assert.equal(index.find(directory)?.log, other.log);
  await fresh.close();
  const left = async () =>
    (await endedSessions(index, [], clock)).map((one) => [one.pendingBytes, one.problem, one.restart]);
  const [[bytes, problem, restart] = [], ...more] = await left();
  assert.deepEqual([bytes, restart, more], [0, '', []]);
  assert.match(String(problem), /another log is in its place.*remove .*json/);
  index.remove(other);
  assert.equal((await left()).length, 1, 'the end of the new log ends nothing of the old one');
  rmSync(directory, { recursive: true });
  assert.match(String((await left())[0]?.[1]), /is not there; is its disk mounted/);
  renameSync(`${directory}.away`, directory);
  assert.deepEqual((await left())[0]?.slice(0, 2), [5_000, undefined]);
  index.write(own);
  assert.deepEqual(await left(), [[5_000, undefined, note.restart]]);
});

test('a session that lost its lease is started again only by a take-over', async (t) => {
  const { index, note, openLog } = place(t);
  const log = await openLog();
  await write(log, 5_000);
  await log.close();
  index.write({ ...note, left: { bytes: 5_000, files: 1, conflicts: 0, lostTo: 'host b' } });
  const [ended] = await endedSessions(index, [], clock);
  assert.deepEqual([ended?.lostTo, ended?.restart], ['host b', `${note.restart} --take-over`]);
});

function idOf(id: LogId): string | undefined {
  return typeof id === 'object' ? id.uuid : undefined;
}

test('a disk that does not answer holds nobody up; what is known without it is told', async (t) => {
  const { index, note, openLog } = place(t);
  const log = await openLog();
  await write(log, 5_000);
  index.write(note);
  const hung = (): Promise<never> => new Promise(() => {});
  const told = (answers: Parameters<typeof endedSessions>[1] = []) => {
    const hasty = { ...clock, after: (_delayMs: number, action: () => void) => clock.after(20, action) };
    return Promise.race([endedSessions(index, answers, hasty, hung), ticks(200)]);
  };
  assert.equal((await told())?.[0]?.problem, 'its disk does not answer');
  assert.deepEqual(await told([silent]), [], 'it may be what the process waits for');
  index.write({ ...note, left: { bytes: 5_000, files: 1, conflicts: 2 } });
  const [ended] = (await told()) ?? [];
  assert.deepEqual([ended?.pendingBytes, ended?.unnamedConflicts, ended?.problem], [5_000, 2, undefined]);
  await log.close();
});

/** Some milliseconds each; they keep the process alive, as a request to the disk does. */
async function ticks(count: number): Promise<undefined> {
  for (let tick = 0; tick < count; tick++) await new Promise((resolve) => setTimeout(resolve, 5));
  return undefined;
}
