/**
 * What sessions that have ended left in their dirty logs: nobody else says so, and it is not at the origin.
 *
 *     notes of the log index ──its session runs──► left out: it answers for itself
 *                            └─► the log, read only, for a bounded time ──nothing in it──► left out
 *                                                                      └─► EndedSession, with `problem` if it cannot be told
 *
 * Invariant: a disk that does not answer costs the bounded time and no more; nothing here waits for it in this thread.
 */
import { readFileSync, statSync } from 'node:fs';
import { stat as systemStat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '../base/mod.ts';
import {
  type InspectedLog,
  inspectLog,
  type LogDirectory,
  type LogFile,
  logId,
  systemLogDirectory,
} from '../dirty/mod.ts';
import { decodeRecord, fileNotes } from '../layers/mod.ts';
import type { ConflictStatus } from '../sessions/mod.ts';
import type { StatusAnswer } from './client.ts';
import type { FoundNote, LogIndex, LogNote } from './log-index.ts';

export interface EndedSession {
  readonly directory: string;
  readonly origin: string;
  readonly listen: string;
  readonly policy: LogNote['policy'];
  /** The command that starts it again; empty: that is not enough, `problem` says why. */
  readonly restart: string;
  /** Who took its write lease: `restart` takes it back. */
  readonly lostTo?: string | undefined;
  readonly pendingBytes: number;
  readonly pendingFiles: number;
  readonly conflicts: readonly ConflictStatus[];
  /** Conflicts that an orderly end counted and that could not be read now. */
  readonly unnamedConflicts: number;
  /** Why it is not known what the log holds. */
  readonly problem: string | undefined;
}

type Contents = Pick<EndedSession, 'pendingBytes' | 'pendingFiles' | 'conflicts' | 'unnamedConflicts' | 'problem'>;

/** As long as a process has to answer. */
const inspectMs = 2_000;
const unknown = { pendingBytes: 0, pendingFiles: 0, conflicts: [], unnamedConflicts: 0 };

/** What a path leads to, if anything. */
type Stat = (path: string) => Promise<{ readonly ino: number }>;

/** Those that left something, or of which it cannot be told. */
export async function endedSessions(
  index: LogIndex,
  answers: readonly StatusAnswer[],
  clock: Clock,
  stat: Stat = systemStat,
): Promise<EndedSession[]> {
  const { notes, damaged } = index.read();
  const answered = await Promise.all(notes.map((note) => isAnswered(note, answers, clock, stat)));
  const ended = notes.filter((_note, index) => answered[index] === false);
  const found = await Promise.all(
    ended.map(async (note) => {
      const { directory, origin, listen, policy, isSetAside, left } = note;
      const lostTo = left?.lostTo;
      const restart = isSetAside ? '' : `${note.restart}${lostTo === undefined ? '' : ' --take-over'}`;
      return { directory, origin, listen, policy, restart, lostTo, ...(await look(note, clock, stat)) };
    }),
  );
  const unread = damaged.map((path) => ({
    ...{ directory: path, origin: '', listen: '', policy: 'write-back' as const, restart: '', ...unknown },
    problem: 'this note about a dirty log cannot be read',
  }));
  return [...found, ...unread].filter(
    ({ pendingFiles, conflicts, unnamedConflicts, problem }) =>
      pendingFiles > 0 || conflicts.length + unnamedConflicts > 0 || problem !== undefined,
  );
}

/**
 * A process of many sessions outlives each of them, so that it runs says nothing of this one: a log that nobody holds is nobody's. Where the
 * disk does not say whether its lock is held, it is taken for the process's own.
 */
async function isAnswered(
  { directory, pid, startedAt, isSetAside }: FoundNote,
  answers: readonly StatusAnswer[],
  clock: Clock,
  stat: Stat,
): Promise<boolean> {
  if (isSetAside) return false;
  const isOwn = answers.some((answer) =>
    answer.kind === 'silent' ? answer.pid === pid : answer.status.pid === pid && answer.status.startedAt === startedAt,
  );
  if (isOwn) {
    const isHeld = await inTime(lockOf(directory, stat).then(isInodeLocked), clock);
    if (isHeld !== false) return true;
  }
  return answers.some(
    (answer) =>
      answer.kind !== 'silent' &&
      answer.status.sessions.some(({ data }) => data?.writeBack?.log.directory === directory),
  );
}

async function look(note: FoundNote, clock: Clock, stat: Stat): Promise<Contents> {
  const { directory, left } = note;
  const stage: Stage = { isInspected: false, isLate: false };
  const found = await inTime(lookInto(note, clock, stat, stage), clock);
  if (found !== 'late') return found;
  stage.isLate = true;
  if (left !== undefined) {
    const { bytes, files, conflicts } = left;
    return { ...unknown, pendingBytes: bytes, pendingFiles: files, unnamedConflicts: conflicts, problem: undefined };
  }
  const problem = stage.isInspected
    ? `it takes long to read (\`viaduct log show ${directory}\` takes the time)`
    : 'its disk does not answer';
  return { ...unknown, problem };
}

/** How far a look has come. */
interface Stage {
  isInspected: boolean;
  /** Nobody waits for it any more. */
  isLate: boolean;
}

async function lookInto(note: FoundNote, clock: Clock, stat: Stat, stage: Stage): Promise<Contents | 'late'> {
  const { directory, pid, path } = note;
  const isThere = await stat(directory).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    return {
      ...unknown,
      problem: `it is not there; is its disk mounted? (if somebody removed it, remove ${path} too)`,
    };
  }
  if (stage.isLate) return 'late';
  if (await isOther(note, clock)) {
    const problem = `another log is in its place; is its disk mounted? (if it is gone for good, remove ${path})`;
    return { ...unknown, problem };
  }
  if (isInodeLocked(await lockOf(directory, stat)))
    return { ...unknown, problem: `a process that does not say what it keeps has it open (${pid} was the last known)` };
  if (stage.isLate) return 'late';
  stage.isInspected = true;
  const inspected = await inspect(directory, clock).catch((error: unknown) =>
    error instanceof TooLate ? ('late' as const) : error instanceof Error ? error : new Error(String(error)),
  );
  if (inspected === 'late') return inspected;
  if (inspected instanceof Error) return { ...unknown, problem: `it cannot be read: ${inspected.message}` };
  if (inspected === undefined)
    return { ...unknown, problem: `it holds no dirty log any more (if somebody removed it, remove ${path} too)` };
  const { damaged } = inspected;
  const problem = damaged && `it is damaged: ${damaged}; \`viaduct log show ${directory}\` says where`;
  return { ...unknown, ...pendingIn(inspected), conflicts: conflictsIn(inspected), problem };
}

/** A log that cannot be told from another is looked at like its own. */
async function isOther({ directory, log }: FoundNote, clock: Clock): Promise<boolean> {
  const found = log === undefined ? 'unknown' : await logId(directory, clock).catch(() => 'unknown' as const);
  return typeof found === 'object' && found.uuid !== log;
}

class TooLate extends Error {}

async function inTime<Result>(asked: Promise<Result>, clock: Clock): Promise<Result | 'late'> {
  let timer: Timer | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = clock.after(inspectMs, () => resolve('late'));
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    timer?.cancel();
  }
}

async function inspect(directory: string, clock: Clock): Promise<InspectedLog | undefined> {
  const opened = await systemLogDirectory(directory, { clock, isReadOnly: true });
  return inspectLog(untilLate(opened, clock, clock.now() + inspectMs)).finally(() => opened.close());
}

/** A log can be as large as its disk: its next read after the time fails. */
function untilLate(directory: LogDirectory, clock: Clock, endMs: number): LogDirectory {
  const limited = (file: LogFile): LogFile => ({
    size: file.size,
    write: (position, slices) => file.write(position, slices),
    read(position, length) {
      if (clock.now() > endMs) throw new TooLate();
      return file.read(position, length);
    },
    dataAt: file.dataAt,
    datasync: () => file.datasync(),
    close: () => file.close(),
  });
  return {
    list: () => directory.list(),
    create: async (name, bytes) => limited(await directory.create(name, bytes)),
    open: async (name) => limited(await directory.open(name)),
    remove: (name) => directory.remove(name),
    rename: (from, to) => directory.rename(from, to),
    sync: () => directory.sync(),
    close: () => directory.close(),
  };
}

/** Times that were set and not sent count as a file without bytes. */
export function pendingIn({ files, notes }: Pick<InspectedLog, 'files' | 'notes'>): {
  pendingBytes: number;
  pendingFiles: number;
} {
  const keys = new Set(files.map(({ key }) => key));
  for (const { key, record } of recordsIn(notes)) if (record.times !== undefined) keys.add(key);
  return { pendingBytes: files.reduce((sum, { dirtyBytes }) => sum + dirtyBytes, 0), pendingFiles: keys.size };
}

/** `path` is as it was when the file was written; `.../NAME` if no more is noted. */
export function conflictsIn({ notes }: Pick<InspectedLog, 'notes'>): ConflictStatus[] {
  return recordsIn(notes).flatMap(({ key, record: { place, path: noted, conflict } }) => {
    if (conflict === undefined) return [];
    const { kind, atMs, savedAs } = conflict;
    const name = noted ?? (place && `.../${place.name}`);
    const path = name === undefined ? undefined : Buffer.from(name, 'latin1').toString('utf8');
    return [{ path, handle: Buffer.from(key, 'latin1').toString('hex'), kind, atMs, savedAs }];
  });
}

function recordsIn(
  notes: ReadonlyMap<string, Uint8Array>,
): { readonly key: string; readonly record: ReturnType<typeof decodeRecord> }[] {
  return [...notes].flatMap(([name, bytes]) => {
    if (!name.startsWith(fileNotes)) return [];
    const key = name.slice(fileNotes.length);
    try {
      return [{ key, record: decodeRecord(0, key, bytes) }];
    } catch {
      // Of a damaged log: `viaduct log show` says so.
      return [];
    }
  });
}

/** Taking the lock to find out would be in the way of a session that starts now. */
export function isLocked(directory: string): boolean {
  return isInodeLocked(statSync(join(directory, 'lock'), { throwIfNoEntry: false })?.ino);
}

/** Its number; undefined if there is none. */
function lockOf(directory: string, stat: Stat): Promise<number | undefined> {
  return stat(join(directory, 'lock')).then(
    ({ ino }) => ino,
    () => undefined,
  );
}

function isInodeLocked(ino: number | undefined): boolean {
  if (ino === undefined) return false;
  try {
    return readFileSync('/proc/locks', 'latin1')
      .split('\n')
      .some((line) => line.includes(' FLOCK ') && line.includes(`:${ino} `));
  } catch {
    return false;
  }
}
