/** Opening a database while others have it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { databaseWriter } from '../testing/mod.ts';
import { openSharedDatabase } from './shared-database.ts';

const directory = mkdtempSync(join(tmpdir(), 'viaduct-database-'));
after(() => rmSync(directory, { recursive: true }));

test('who opens a new database while another thread writes to it waits', async () => {
  const path = join(directory, 'one.sqlite');
  const ended = await databaseWriter(path);
  const database = openSharedDatabase(path, { synchronous: 'FULL', busyMs: 10_000 });
  assert.equal(database.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal');
  assert.equal(database.prepare('PRAGMA synchronous').get()?.synchronous, 2);
  database.close();
  await ended();
});

test('who holds it for longer than one waits is told of, and what is no database', () => {
  const path = join(directory, 'two.sqlite');
  const holder = new DatabaseSync(path);
  holder.exec('BEGIN IMMEDIATE');
  assert.throws(() => openSharedDatabase(path, { synchronous: 'NORMAL', busyMs: 20 }), /database is locked/);
  holder.close();
  assert.throws(() => openSharedDatabase(directory, { synchronous: 'NORMAL', busyMs: 20 }), /unable to open/);
});
