/**
 * Dirty logs of the daemon's sessions: the notes that `viaduct status` finds them by.
 *
 * Invariant: the note of a log that another process has open is that process's.
 */
import { dirname, join } from 'node:path';
import type { Clock, Log } from '../../base/mod.ts';
import type { LogIndex, LogNote } from '../../control/mod.ts';
import { logId } from '../../dirty/mod.ts';
import { formatOrigin, parseOrigin } from '../../origins/mod.ts';
import { holdsLog, keepsLog, type LeftBehind } from '../../sessions/mod.ts';
import { holdsChanges, whileLocked } from './logs.ts';
import type { StoredSession } from './session-store.ts';

const aloneCacheSize = '256M';
/** Opens again what is in its store. */
const daemonCommand = 'viaduct daemon';

export interface NotesOptions {
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
    const note = keepsLog(session.plan.writes) ? await this.#noteOf(session, daemonCommand) : undefined;
    if (note !== undefined) this.#carefully(note, () => this.#options.index.write(note));
  }

  /**
   * The session is over. True: something is left in its log, and noted. `left`: what it said itself; without that the log is read. What
   * cannot be read counts as something.
   */
  async ended(session: StoredSession, left: LeftBehind | undefined): Promise<boolean> {
    const { index, clock } = this.#options;
    const directory = session.plan.dirty?.directory;
    if (directory === undefined || !holdsLog(directory)) {
      const note = await this.#noteOf(session, '');
      if (note !== undefined) this.#carefully(note, () => index.remove(note));
      return false;
    }
    if (left === undefined && (await isInUse(directory, clock))) return true;
    const isLeft = left === undefined ? await holdsChanges(directory, { clock }) : left.files > 0 || left.conflicts > 0;
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

  /** That this log, and no other in its place, held changes at the end of its session, and nobody had it open since. */
  async saysLeft(directory: string): Promise<boolean> {
    const note = this.#options.index.find(directory);
    if (note?.left === undefined || note.log === undefined) return false;
    if (note.left.files === 0 && note.left.conflicts === 0) return false;
    const id = await logId(directory, this.#options.clock).catch(() => 'unknown' as const);
    return typeof id === 'object' && id.uuid === note.log;
  }

  /** No row tells of the log any more, so that a daemon will not open it. */
  orphaned(directory: string): void {
    const { index } = this.#options;
    const note = index.find(directory);
    if (note?.restart !== daemonCommand) return;
    const { path: _path, isSetAside: _isSetAside, ...rest } = note;
    this.#carefully(note, () => index.write({ ...rest, restart: aloneCommand(rest) }));
  }

  async #noteOf(session: StoredSession, restart: string): Promise<LogNote | undefined> {
    const { plan, place } = session;
    const { writes, dirty, origin, listen } = plan;
    if (dirty === undefined) return undefined;
    // A session that keeps no log may have one of a time when it did.
    const earlier = holdsLog(dirty.directory)
      ? (this.#options.index.find(dirty.directory)?.policy ?? 'write-back')
      : undefined;
    const policy = keepsLog(writes) ? writes : earlier;
    if (policy === undefined) return undefined;
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

async function isInUse(directory: string, clock: Clock): Promise<boolean> {
  const found = await whileLocked(directory, clock, () => Promise.resolve('free' as const)).catch(() => 'free');
  return found === 'in-use';
}

/** Opens the log by itself, without the daemon, and with a small cache beside it: the daemon's is in use. */
function aloneCommand({ origin, listen, policy, directory }: Omit<LogNote, 'restart'>): string {
  const cache = ['--cache', join(dirname(directory), 'cache'), '--cache-size', aloneCacheSize];
  const log = ['--policy', policy, '--dirty-log', directory];
  const words = ['viaduct', 'proxy', origin, '--alone', '--listen', listen, ...cache, ...log];
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}
