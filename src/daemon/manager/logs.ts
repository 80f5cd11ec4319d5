/**
 * Dirty logs that no session of this daemon has open: what is in one, and the end of the directory that it lies in.
 *
 *     lock (flock) ──in use──► somebody's: it stays
 *        └──► looked into, a piece at a time ──► changes, cannot be read, takes too long: it stays
 *                                             └► nothing ──► renamed ──► removed
 *
 * Invariants: a log that a process has open is never removed, nor one that holds changes or cannot be read (but by who discards it); the
 * daemon's thread goes on with other things while it looks.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Clock, type Log, systemCode, type Timer, ViaductError } from '../../base/mod.ts';
import { conflictsIn, pendingIn } from '../../control/mod.ts';
import { type InspectedLog, inspectLog, type LogDirectory, type LogFile, systemLogDirectory } from '../../dirty/mod.ts';
import { holdsLog } from '../../sessions/mod.ts';
import { sessionDirectory, sessionsDirectory } from './opening.ts';

/** Longer than that nobody waits for what is in a log. */
const inspectMs = 10_000;
/** So long the thread looks into a log at a time. */
const turnMs = 5;
/** Of what is on its way out: a name that no session has. */
const removedPrefix = 'removed-';

export interface LogLook {
  readonly clock: Clock;
  /** Nobody wants to know any more. */
  readonly isOver?: (() => boolean) | undefined;
}

/** Also true if that cannot be told, or not in time. */
export async function holdsChanges(directory: string, look: LogLook): Promise<boolean> {
  if (!existsSync(directory)) return false;
  try {
    if (!holdsLog(directory)) return false;
    const opened = await systemLogDirectory(directory, { clock: look.clock, isReadOnly: true });
    const inspected = inspectLog(inTurns(opened, look)).finally(() => opened.close());
    const found = await inTime(inspected, look.clock);
    return found !== undefined && isSomething(found);
  } catch {
    return true;
  }
}

/** A disk that does not answer says nothing, ever. */
async function inTime<Result>(asked: Promise<Result>, clock: Clock): Promise<Result> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = clock.after(inspectMs, () => reject(tooLate()));
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    timer?.cancel();
  }
}

function tooLate(): Error {
  return new Error('there was not enough time to read the log');
}

function isSomething(inspected: InspectedLog): boolean {
  return inspected.damaged !== undefined || pendingIn(inspected).pendingFiles > 0 || conflictsIn(inspected).length > 0;
}

/**
 * Does it while nobody else can have the log open. `in-use`: somebody has. Also without a log: then there is nothing to hold. Rejects if
 * it cannot be locked.
 */
export async function whileLocked<Result>(
  directory: string,
  clock: Clock,
  action: () => Promise<Result>,
): Promise<Result | 'in-use'> {
  if (!existsSync(directory)) return await action();
  let held: LogDirectory;
  try {
    held = await systemLogDirectory(directory, { clock });
  } catch (error) {
    if (error instanceof ViaductError && error.code === 'LOG_IN_USE') return 'in-use';
    throw error;
  }
  return await action().finally(() => held.close());
}

export interface RemovalOptions {
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The session's directory; not while a process has its log open, nor if something is found in it (`isNeeded`) when nobody can have. */
export async function removeDirectory(
  id: string,
  { stateDirectory, clock, log }: RemovalOptions,
  isNeeded?: () => Promise<boolean>,
): Promise<'removed' | 'kept'> {
  const directory = sessionDirectory(stateDirectory, id);
  if (!existsSync(directory)) return 'removed';
  const out = join(dirname(directory), `${removedPrefix}${id}`);
  try {
    const done = await whileLocked(join(directory, 'dirty'), clock, async () => {
      if ((await isNeeded?.()) === true) return 'kept';
      await rm(out, { recursive: true, force: true });
      // Who comes now finds nothing, or begins anew; never half of it.
      renameSync(directory, out);
      await rm(out, { recursive: true, force: true });
      return 'removed';
    });
    if (done !== 'in-use') return done;
    log.warn({ session: id, directory }, 'a process has the dirty log of a session open that is over: it stays');
  } catch (error) {
    log.warn(
      { session: id, directory, cause: String(error) },
      'a directory that nobody needs stays, until the daemon starts again',
    );
  }
  return 'kept';
}

/** Names below STATE/sessions. */
export function namesOfDirectories(stateDirectory: string): string[] {
  try {
    return readdirSync(sessionsDirectory(stateDirectory));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** What an earlier daemon left below that name, if nobody needs it. True: its log holds changes, or somebody has it open. */
export async function removeUnlessNeeded(
  name: string,
  { isNoted, ...options }: RemovalOptions & LogLook & { isNoted(directory: string): Promise<boolean> },
): Promise<boolean> {
  const directory = sessionDirectory(options.stateDirectory, name);
  if (name.startsWith(removedPrefix)) {
    await rm(directory, { recursive: true, force: true });
    return false;
  }
  const dirty = join(directory, 'dirty');
  if ((await isNoted(dirty)) || (await holdsChanges(dirty, options))) return true;
  return (await removeDirectory(name, options, () => holdsChanges(dirty, options))) === 'kept';
}

/** Its reads let others have the thread, and fail when it took too long. */
function inTurns(directory: LogDirectory, { clock, isOver }: LogLook): LogDirectory {
  const endMs = clock.now() + inspectMs;
  let begunMs = clock.now();
  const turned = (file: LogFile): LogFile => ({
    ...{ size: file.size, dataAt: file.dataAt },
    write: (position, slices) => file.write(position, slices),
    read: (position, length) => {
      if (clock.now() > endMs || isOver?.() === true) throw tooLate();
      if (clock.now() - begunMs < turnMs) return file.read(position, length);
      return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
        begunMs = clock.now();
        return file.read(position, length);
      });
    },
    datasync: () => file.datasync(),
    close: () => file.close(),
  });
  return {
    list: () => directory.list(),
    create: (name, bytes) => directory.create(name, bytes),
    open: async (name) => turned(await directory.open(name)),
    remove: (name) => directory.remove(name),
    rename: (from, to) => directory.rename(from, to),
    sync: () => directory.sync(),
    close: () => directory.close(),
  };
}
