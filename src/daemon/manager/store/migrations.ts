/**
 * The steps from an empty file to the store of today, in order; `user_version` says how many were taken. A step that has been released is
 * never changed: what has to be different is another step.
 */
import type { DatabaseSync } from 'node:sqlite';
import { ViaductError } from '../../../base/mod.ts';

const migrations = [
  `CREATE TABLE sessions (
     id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL, step TEXT NOT NULL, source TEXT NOT NULL,
     temporary INTEGER NOT NULL, created INTEGER NOT NULL, request TEXT NOT NULL, plan TEXT NOT NULL, resolved TEXT NOT NULL,
     host TEXT, port INTEGER, portmapper TEXT, error TEXT
   ) STRICT;`,
  // Whether it kept a log when it was open last; NULL: as its plan and place say.
  'ALTER TABLE sessions ADD COLUMN log INTEGER;',
] as const;

/** Each step is taken whole or not at all. */
export function migrate(database: DatabaseSync, path: string): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.user_version);
  if (version > migrations.length) throw newer(path, version);
  for (let number = version; number < migrations.length; number++) {
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(migrations[number]!);
      database.exec(`PRAGMA user_version = ${number + 1}`);
      database.exec('COMMIT');
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }
}

function newer(path: string, version: number): ViaductError {
  return new ViaductError('STORE_VERSION', {
    cause: `the store of sessions ${path} was made by a newer Viaduct (version ${version}; this one knows ${migrations.length})`,
    remedy: 'Start the newer Viaduct; or name another state directory, where the daemon begins without sessions.',
  });
}
