/**
 * The leases of an origin in one SQLite file, `leases.sqlite` of its state directory: `viaduct serve` and `viaduct lease` open it,
 * at the same time if need be.
 *
 *     about     server id, epoch, counter            a token is epoch (4 bytes) and counter (4 bytes)
 *     leases    one row a tree: the latest lease     ended IS NULL: held
 *     changes   one row a file: what a holder began to change it from
 *
 * Invariants: a grant and an end are on the disk before they are answered; a renewal and a note survive kill -9 and may be lost with
 * the power. The epoch is the second in which the file was made: should the file be lost, tokens of a new one are larger all the same.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Clock, limits, openSharedDatabase, type Random, ViaductError } from '../base/mod.ts';
import type {
  FileHandle,
  LeaseRecord,
  LeaseRequest,
  LeaseStore,
  LeaseToken,
  NotedChange,
  WccAttributes,
} from '../vfs/mod.ts';

export interface SqliteLeaseStoreOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly random: Random;
  /** How long another process may hold the file locked. */
  readonly busyMs?: number | undefined;
}

type Ended = NonNullable<LeaseRecord['ended']>;

/** Numbered from 1; `user_version` says how many have been applied. Never edited, only added to. */
const migrations = [
  `CREATE TABLE about (server BLOB NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL) STRICT;
   CREATE TABLE leases (
     tree BLOB PRIMARY KEY, path BLOB NOT NULL, token BLOB NOT NULL UNIQUE, holder BLOB NOT NULL, instance BLOB NOT NULL,
     since INTEGER NOT NULL, seen INTEGER NOT NULL, ended TEXT, ended_by BLOB, ended_at INTEGER
   ) STRICT;
   CREATE TABLE changes (
     number INTEGER PRIMARY KEY AUTOINCREMENT, file BLOB NOT NULL UNIQUE, token BLOB NOT NULL, base TEXT NOT NULL
   ) STRICT;`,
] as const;

const columns = 'tree, path, token, holder, instance, since, seen, ended, ended_by, ended_at';

export class SqliteLeaseStore implements LeaseStore {
  readonly serverId: string;
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Rows of `changes` at most, and those written since. */
  #changes = 0;

  constructor(options: SqliteLeaseStoreOptions) {
    this.#path = options.path;
    let opened: DatabaseSync | undefined;
    try {
      opened = openSharedDatabase(options.path, { synchronous: 'FULL', busyMs: options.busyMs ?? 2_000 });
      this.#database = opened;
      const check = opened.prepare('PRAGMA quick_check(1)').get()?.quick_check;
      if (check !== 'ok') throw new Error(`it is damaged: ${String(check)}`);
      this.serverId = this.#together(() => this.#migrate(options));
      this.#changes = Number(this.#get('SELECT count(*) AS count FROM changes')?.count);
    } catch (error) {
      opened?.close();
      throw this.#failed('opened', error);
    }
  }

  version(): number {
    return this.#guard('read', () => Number(this.#get('PRAGMA data_version')?.data_version));
  }

  held(): readonly LeaseRecord[] {
    return this.#guard('read', () =>
      this.#prepare(`SELECT ${columns} FROM leases WHERE ended IS NULL ORDER BY token`).all().map(recordOf),
    );
  }

  find(tree: FileHandle): LeaseRecord | undefined {
    return this.#guard('read', () => {
      const row = this.#get(`SELECT ${columns} FROM leases WHERE tree = ?`, blob(tree));
      return row === undefined ? undefined : recordOf(row);
    });
  }

  grant(request: LeaseRequest): LeaseRecord | undefined {
    return this.#guard('written', () => this.#together(() => this.#grant(request)));
  }

  renew(tree: FileHandle, token: LeaseToken, atMs: number): boolean {
    return this.#lightly(() => {
      const sql = 'UPDATE leases SET seen = ? WHERE tree = ? AND token = ? AND ended IS NULL';
      return this.#prepare(sql).run(Math.floor(atMs), blob(tree), blob(token)).changes === 1;
    });
  }

  end(tree: FileHandle, token: LeaseToken, ended: Ended): boolean {
    return this.#guard('written', () => this.#together(() => this.#end(tree, token, ended)));
  }

  noteChange(token: LeaseToken, file: FileHandle, base: WccAttributes): void {
    this.#lightly(() => {
      const { size, mtime, ctime } = base;
      const numbers = [size, mtime.seconds, mtime.nanoseconds, ctime.seconds, ctime.nanoseconds];
      const sql = 'INSERT OR REPLACE INTO changes (file, token, base) VALUES (?, ?, ?)';
      this.#prepare(sql).run(blob(file), blob(token), JSON.stringify(numbers));
      // Overwritten rows count twice: now and then it is counted anew.
      if (++this.#changes <= 2 * limits.changeChains) return;
      const forget = 'DELETE FROM changes WHERE number <= (SELECT max(number) FROM changes) - ?';
      this.#prepare(forget).run(limits.changeChains);
      this.#changes = limits.changeChains;
    });
  }

  notedChanges(): readonly NotedChange[] {
    return this.#guard('read', () =>
      this.#prepare('SELECT token, file, base FROM changes ORDER BY number').all().map(changeOf),
    );
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #grant(request: LeaseRequest): LeaseRecord | undefined {
    if (this.version() !== request.seenVersion) return undefined;
    const { tree, path, holder, instance, atMs } = request;
    const at = Math.floor(atMs);
    for (const replaced of request.replaces) {
      const row = this.#get('SELECT token FROM leases WHERE tree = ? AND ended IS NULL', blob(replaced));
      if (row !== undefined) this.#end(replaced, text(row.token), { how: 'broken', by: holder, atMs: at });
    }
    const about = this.#get('UPDATE about SET counter = counter + 1 RETURNING epoch, counter');
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(Number(about?.epoch), 0);
    bytes.writeUInt32BE(Number(about?.counter), 4);
    const sql = `INSERT OR REPLACE INTO leases (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)`;
    this.#prepare(sql).run(blob(tree), blob(path), bytes, blob(holder), blob(instance), at, at);
    const forget = `DELETE FROM leases WHERE ended IS NOT NULL AND token NOT IN
      (SELECT token FROM leases WHERE ended IS NOT NULL ORDER BY token DESC LIMIT ${limits.endedLeases})`;
    this.#prepare(forget).run();
    const row = this.#get(`SELECT ${columns} FROM leases WHERE tree = ?`, blob(tree));
    return row === undefined ? undefined : recordOf(row);
  }

  #end(tree: FileHandle, token: LeaseToken, { how, by, atMs }: Ended): boolean {
    this.#prepare('DELETE FROM changes WHERE token = ?').run(blob(token));
    const sql =
      'UPDATE leases SET ended = ?, ended_by = ?, ended_at = ? WHERE tree = ? AND token = ? AND ended IS NULL';
    return this.#prepare(sql).run(how, blob(by), Math.floor(atMs), blob(tree), blob(token)).changes === 1;
  }

  /** Returns the server's id. */
  #migrate({ clock, random }: SqliteLeaseStoreOptions): string {
    const version = Number(this.#get('PRAGMA user_version')?.user_version);
    if (version > migrations.length) {
      throw new Error(`it was made by a newer Viaduct (version ${version}; this one knows ${migrations.length})`);
    }
    for (let number = version; number < migrations.length; number++) this.#database.exec(migrations[number]!);
    this.#database.exec(`PRAGMA user_version = ${migrations.length}`);
    if (version === 0) {
      const epoch = Math.floor(clock.wallTimeMs() / 1000);
      this.#prepare('INSERT INTO about VALUES (?, ?, 0)').run(random.bytes(new Uint8Array(16)), epoch);
    }
    return text(this.#get('SELECT server FROM about')?.server);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #get(sql: string, ...values: Buffer[]): Record<string, unknown> | undefined {
    return this.#prepare(sql).get(...values);
  }

  #together<Result>(action: () => Result): Result {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = action();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // A statement that failed may have ended the transaction already.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** Written for a kill -9, not for a power loss: no wait for the disk. */
  #lightly<Result>(action: () => Result): Result {
    return this.#guard('written', () => {
      this.#database.exec('PRAGMA synchronous = NORMAL');
      try {
        return action();
      } finally {
        this.#database.exec('PRAGMA synchronous = FULL');
      }
    });
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
    const locked = /locked|busy/i.test(reason);
    return new ViaductError('LEASE_STORE_FAILED', {
      cause: `the leases in ${this.#path} cannot be ${what}: ${reason}`,
      remedy: locked
        ? 'Another process holds the file; end it, or try again.'
        : 'Check the disk and the permissions. If the file is damaged, make sure that no client writes, and move it away.',
      from: error,
    });
  }
}

function recordOf(row: Record<string, unknown>): LeaseRecord {
  const how = row.ended === 'released' || row.ended === 'broken' ? row.ended : undefined;
  return {
    tree: text(row.tree),
    path: text(row.path),
    token: text(row.token),
    holder: text(row.holder),
    instance: text(row.instance),
    sinceMs: Number(row.since),
    seenMs: Number(row.seen),
    ended: how === undefined ? undefined : { how, by: text(row.ended_by), atMs: Number(row.ended_at) },
  };
}

function changeOf(row: Record<string, unknown>): NotedChange {
  const [size, mtime, mtimeNanoseconds, ctime, ctimeNanoseconds] = JSON.parse(String(row.base));
  const base = {
    size: Number(size),
    mtime: { seconds: Number(mtime), nanoseconds: Number(mtimeNanoseconds) },
    ctime: { seconds: Number(ctime), nanoseconds: Number(ctimeNanoseconds) },
  };
  return { token: text(row.token), file: text(row.file), base };
}

function blob(value: string): Buffer {
  return Buffer.from(value, 'latin1');
}

function text(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : '';
}
