/**
 * The daemon's memory of its sessions over restarts: STATE/daemon.sqlite, one row a session (store/migrations.ts has the columns).
 *
 *     create ──► creating ──listens──► running ──close──► closing ──► no row
 *                                        └─ended by an error──► failed      └─changes are kept──► closed
 *
 * Invariants: what `put` and `remove` returned from survives a power loss; a row that cannot be read is left alone and told of.
 */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { openSharedDatabase, ViaductError } from '../../base/mod.ts';
import { type ErrorRecord, keepsLog, type ListeningPlace, type SessionPlan } from '../../sessions/mod.ts';
import type { CloseOptions, SessionRequest, SettingRow } from '../contract.ts';
import { migrate } from './store/migrations.ts';

/** What was decided about a session beside its plan. */
export interface Resolved {
  /** The policy's name. */
  readonly policy: string;
  readonly rule?: string | undefined;
  readonly settings: readonly SettingRow[];
  readonly onClose: NonNullable<CloseOptions['changes']>;
}

export interface StoredSession {
  readonly id: string;
  readonly name: string;
  readonly state: 'creating' | 'running' | 'failed' | 'closing' | 'closed';
  /** How far create or close has come. */
  readonly step: string;
  readonly source: 'api' | 'configuration';
  readonly isTemporary: boolean;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly request: SessionRequest;
  readonly plan: SessionPlan;
  readonly resolved: Resolved;
  readonly place?: ListeningPlace | undefined;
  /** It kept a log when it was open last, which must be there when it is opened again. */
  readonly hadLog?: boolean | undefined;
  readonly error?: ErrorRecord | undefined;
}

export interface StoredSessions {
  readonly sessions: readonly StoredSession[];
  /** Ids of rows that cannot be read. */
  readonly damaged: readonly string[];
}

const columns =
  'id, name, state, step, source, temporary, created, request, plan, resolved, host, port, portmapper, error, log';

export class SessionStore {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;

  /** Throws STORE_FAILED, STORE_VERSION or DISK_FULL. */
  constructor(path: string) {
    this.#path = path;
    let opened: DatabaseSync | undefined;
    try {
      opened = openSharedDatabase(path, { synchronous: 'FULL', busyMs: 2_000 });
      const check = opened.prepare('PRAGMA quick_check(1)').get()?.quick_check;
      if (check !== 'ok') throw new Error(`it is damaged: ${String(check)}`);
      migrate(opened, path);
      const marks = columns.replaceAll(/\w+/g, '?');
      // Not OR REPLACE: that would remove another session of the same name.
      const news = columns.replaceAll(/\w+/g, '$& = excluded.$&');
      this.#put = opened.prepare(
        `INSERT INTO sessions (${columns}) VALUES (${marks}) ON CONFLICT (id) DO UPDATE SET ${news}`,
      );
      this.#remove = opened.prepare('DELETE FROM sessions WHERE id = ?');
      this.#database = opened;
    } catch (error) {
      opened?.close();
      throw this.#failed('opened', error);
    }
  }

  read(): StoredSessions {
    return this.#guard('read', () => {
      const sessions: StoredSession[] = [];
      const damaged: string[] = [];
      for (const row of this.#database.prepare(`SELECT ${columns} FROM sessions ORDER BY created, id`).all()) {
        const session = sessionOf(row);
        if (session === undefined) damaged.push(String(row.id));
        else sessions.push(session);
      }
      return { sessions, damaged };
    });
  }

  /** New, or in the place of what was there. */
  put(session: StoredSession): void {
    const { id, name, state, step, source, isTemporary, createdMs, request, plan, resolved, place, error } = session;
    const { hadLog } = session;
    this.#guard('written', () =>
      this.#put.run(
        ...[id, name, state, step, source, isTemporary ? 1 : 0, Math.floor(createdMs)],
        ...[JSON.stringify(request), JSON.stringify(plan), JSON.stringify(resolved)],
        ...[place?.host ?? null, place?.port ?? null, place?.portmapper ?? null],
        ...[error === undefined ? null : JSON.stringify(error), hadLog === true ? 1 : 0],
      ),
    );
  }

  remove(id: string): void {
    this.#guard('written', () => this.#remove.run(id));
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #guard<Result>(what: string, action: () => Result): Result {
    try {
      return action();
    } catch (error) {
      throw this.#failed(what, error);
    }
  }

  #failed(what: string, error: unknown): ViaductError {
    if (error instanceof ViaductError) return error;
    const reason = error instanceof Error ? error.message : String(error);
    const cause = `the store of sessions ${this.#path} cannot be ${what}: ${reason}`;
    const kind = kindOf(error, this.#path);
    if (kind === 'full') {
      const remedy = 'Make room on that disk. Sessions that run go on, and what is to be stored is stored then.';
      return new ViaductError('DISK_FULL', { cause, remedy, from: error });
    }
    return new ViaductError('STORE_FAILED', { cause, remedy: remedies[kind], from: error });
  }
}

/** SQLite's shared memory grows by so much. */
const leastRoomBytes = 32 * 1024;

type FailureKind = 'full' | 'busy' | 'refused' | 'damaged' | 'other';

const remedies: Readonly<Record<Exclude<FailureKind, 'full'>, string>> = {
  busy: 'Another process holds the file; end it, or try again.',
  refused: 'Check that the disk is writable and that this user may write the file. Sessions that run go on.',
  damaged:
    'Move the file away and start the daemon: it begins without sessions. What they wrote stays below `sessions` beside it; `viaduct status` names what the origin does not have.',
  other: 'Check the disk and the permissions. Sessions that run go on.',
};

/** By SQLite's result codes (https://sqlite.org/rescode.html); a file beside the store that cannot grow is an I/O error to it. */
function kindOf(error: unknown, path: string): FailureKind {
  if (error instanceof Error && error.message.startsWith('it is damaged')) return 'damaged';
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
  if (code === 13 || (code === 10 && isFull(dirname(path)))) return 'full';
  if (code === 5 || code === 6) return 'busy';
  if (code === 3 || code === 8 || code === 14) return 'refused';
  return code === 11 || code === 26 ? 'damaged' : 'other';
}

function isFull(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize < leastRoomBytes;
  } catch {
    return false;
  }
}

function sessionOf(row: Record<string, unknown>): StoredSession | undefined {
  try {
    const parse = (name: string) => JSON.parse(String(row[name]));
    const plan: SessionPlan = parse('plan');
    const place =
      row.host === null || row.port === null
        ? undefined
        : { host: String(row.host), port: Number(row.port), portmapper: portmapperOf(row.portmapper) };
    const hadLog = row.log === null ? place !== undefined && keepsLog(plan.writes) : row.log === 1;
    return {
      ...{ id: String(row.id), name: String(row.name), state: stateOf(row.state), step: String(row.step) },
      ...{ source: row.source === 'configuration' ? 'configuration' : 'api', isTemporary: row.temporary === 1 },
      ...{
        createdMs: Number(row.created),
        request: parse('request'),
        plan,
        resolved: parse('resolved'),
      },
      ...{ place, error: row.error === null ? undefined : parse('error') },
      ...(hadLog ? { hadLog } : {}),
    };
  } catch {
    return undefined;
  }
}

function stateOf(value: unknown): StoredSession['state'] {
  if (value === 'creating' || value === 'running' || value === 'failed' || value === 'closing' || value === 'closed')
    return value;
  throw new Error(`the state ${String(value)} is none`);
}

function portmapperOf(value: unknown): ListeningPlace['portmapper'] {
  return value === 'own' || value === 'rpcbind' ? value : 'none';
}
