/**
 * Dirty logs of the daemon's sessions: what is in one while no session has it open, the note that `viaduct status` finds it by, and the end
 * of its directory.
 *
 * Invariant: a log that holds changes, or that cannot be read, is never removed (but by who discards it).
 */
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock, Log } from '../base/mod.ts';
import { conflictsIn, type LogIndex, type LogNote, pendingIn } from '../control/mod.ts';
import { type InspectedLog, inspectLog, logId, systemLogDirectory } from '../dirty/mod.ts';
import { formatOrigin, parseOrigin } from '../origins/mod.ts';
import { keepsLog, type LeftBehind } from '../sessions/mod.ts';
import { sessionDirectory } from './opening.ts';
import type { StoredSession } from './session-store.ts';

const aloneCacheSize = '256M';
/** Opens again what is in its store. */
const daemonCommand = 'viaduct daemon';

export interface NotesOptions {
  readonly stateDirectory: string;
  readonly index: LogIndex;
  /** Of this process, as its status says it. */
  readonly startedAt: string;
  readonly clock: Clock;
  readonly log: Log;
}

export class ManagerNotes {
  readonly #options: NotesOptions;

  constructor(options: NotesOptions) {
    this.#options = options;
  }

  /** The session has the log open: if this process is killed and none comes after it, its changes are found. */
  async opened(session: StoredSession): Promise<void> {
    const note = await this.#noteOf(session, daemonCommand);
    if (note !== undefined) this.#carefully(note, () => this.#options.index.write(note));
  }

  /**
   * The session is over. True: something is left in its log, and noted. `left`: what it said itself; without that the log is read. What
   * cannot be read counts as something.
   */
  async ended(session: StoredSession, left: LeftBehind | undefined): Promise<boolean> {
    const { index } = this.#options;
    const directory = session.plan.dirty?.directory;
    if (directory === undefined || !existsSync(directory)) {
      const note = await this.#noteOf(session, '');
      if (note !== undefined) this.#carefully(note, () => index.remove(note));
      return false;
    }
    const isLeft =
      left === undefined ? await holdsChanges(directory, this.#options.clock) : left.files > 0 || left.conflicts > 0;
    const known = await this.#noteOf(session, '');
    if (known === undefined) return isLeft;
    const { host, port } = session.plan.listen;
    const listen = port === undefined ? host : `${host}:${port}`;
    const note = { ...known, restart: aloneCommand({ ...known, listen }) };
    if (!isLeft) this.#carefully(note, () => index.remove(note));
    else {
      const { bytes, files, conflicts, lostTo } = left ?? {};
      const told =
        bytes === undefined || files === undefined || conflicts === undefined
          ? undefined
          : { bytes, files, conflicts, lostTo };
      this.#carefully(note, () => index.write({ ...note, ...(told === undefined ? {} : { left: told }) }));
    }
    return isLeft;
  }

  /** No row tells of the log any more, so that a daemon will not open it. */
  orphaned(directory: string): void {
    const { index } = this.#options;
    const note = index.find(directory);
    if (note?.restart !== daemonCommand) return;
    const { path: _path, isSetAside: _isSetAside, ...rest } = note;
    this.#carefully(note, () => index.write({ ...rest, restart: aloneCommand(rest) }));
  }

  /** The session's directory, when nothing is in it that anybody needs. */
  removeDirectory(id: string): void {
    const { stateDirectory, log } = this.#options;
    const directory = sessionDirectory(stateDirectory, id);
    try {
      rmSync(directory, { recursive: true, force: true });
    } catch (error) {
      log.warn(
        { session: id, directory, cause: String(error) },
        'a directory that nobody needs stays, until the daemon starts again',
      );
    }
  }

  async #noteOf(session: StoredSession, restart: string): Promise<LogNote | undefined> {
    const { plan, place } = session;
    const { writes: policy, dirty, origin, listen } = plan;
    if (dirty === undefined || !keepsLog(policy)) return undefined;
    const id = await logId(dirty.directory, this.#options.clock).catch(() => 'unknown' as const);
    const { host, port } = place ?? { host: listen.host, port: listen.port ?? 2049 };
    return {
      ...(typeof id === 'object' ? { log: id.uuid } : {}),
      ...{ directory: dirty.directory, origin: formatOrigin(parseOrigin(origin)), policy, pid: process.pid },
      ...{ startedAt: this.#options.startedAt, listen: `${host}:${port}`, restart },
    };
  }

  #carefully(note: LogNote, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.log.warn(
        { error: String(error), directory: note.directory },
        'the dirty log could not be noted; `viaduct status` will not tell what is left in it when the daemon has ended',
      );
    }
  }
}

/** Also true if that cannot be told. */
export async function holdsChanges(directory: string, clock: Clock): Promise<boolean> {
  if (!existsSync(directory)) return false;
  try {
    const opened = await systemLogDirectory(directory, { clock, isReadOnly: true });
    const inspected = await inspectLog(opened).finally(() => opened.close());
    return inspected !== undefined && isSomething(inspected);
  } catch {
    return true;
  }
}

function isSomething(inspected: InspectedLog): boolean {
  return inspected.damaged !== undefined || pendingIn(inspected).pendingFiles > 0 || conflictsIn(inspected).length > 0;
}

/** Opens the log by itself, without the daemon, and with a small cache beside it: the daemon's is in use. */
function aloneCommand({ origin, listen, policy, directory }: Omit<LogNote, 'restart'>): string {
  const cache = ['--cache', join(dirname(directory), 'cache'), '--cache-size', aloneCacheSize];
  const log = ['--policy', policy, '--dirty-log', directory];
  const words = ['viaduct', 'proxy', origin, '--alone', '--listen', listen, ...cache, ...log];
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}
