/** A SQLite file in WAL mode that several threads and processes may open at the same moment. */
import { DatabaseSync } from 'node:sqlite';

export interface SharedDatabaseOptions {
  /** FULL: what is committed is on the disk. NORMAL: it survives kill -9, and may be lost with the power. */
  readonly synchronous: 'NORMAL' | 'FULL';
  /** How long to wait for others that hold it locked. */
  readonly busyMs: number;
}

/** Others may begin to write between a wait and the next try. */
const mostTries = 8;
/** SQLITE_BUSY, the low byte of an error's number. */
const busy = 5;

/** Throws SQLite's error, and leaves nothing open then. */
export function openSharedDatabase(path: string, { synchronous, busyMs }: SharedDatabaseOptions): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyMs });
  try {
    beginWal(database);
    database.exec(`PRAGMA synchronous = ${synchronous}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The change to WAL fails at once while another one writes, however long the time-out is; who begins to write does wait. */
function beginWal(database: DatabaseSync): void {
  for (let left = mostTries; ; left--) {
    try {
      database.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (left === 0 || !isBusy(error)) throw error;
      database.exec('BEGIN IMMEDIATE; COMMIT');
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === busy;
}
