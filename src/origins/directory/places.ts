/**
 * Where files were last seen, for handles that the kernel does not open for us: a table (handle, parent, name) that survives
 * restarts, several rows for a file with several names. It is a hint: whoever follows it compares the identity of what it finds.
 *
 * WAL with synchronous=NORMAL: nothing is lost by kill -9; a power loss may forget the newest rows, whose files are then
 * found again by the search or by their next LOOKUP, under the same handle.
 */
import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { openSharedDatabase, ViaductError } from '../../base/mod.ts';
import type { FileHandle } from '../../vfs/mod.ts';

export interface PlaceRow {
  readonly handle: FileHandle;
  readonly parent: FileHandle;
  readonly name: string;
  readonly inode: bigint;
}
const knownMaximum = 65_536;
const busyMs = 5000;

export class Places {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #select: StatementSync;
  readonly #remove: StatementSync;
  readonly #forget: StatementSync;
  /** What is in the table for certain, so that a LOOKUP repeated costs no statement. */
  readonly #known = new Set<string>();

  constructor(stateDirectory: string) {
    let opened: DatabaseSync | undefined;
    try {
      opened = openSharedDatabase(join(stateDirectory, 'places.sqlite'), { synchronous: 'NORMAL', busyMs });
      this.#database = opened;
      opened.exec(
        'CREATE TABLE IF NOT EXISTS places (handle BLOB, parent BLOB, name BLOB, inode TEXT,' +
          ' PRIMARY KEY (handle, parent, name)) WITHOUT ROWID, STRICT;',
      );
    } catch (error) {
      opened?.close();
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `The table of file handles in ${stateDirectory} cannot be opened: ${String(error)}`,
        remedy: 'Check that the directory is writable and its disk has room; if places.sqlite is damaged, remove it.',
        from: error,
      });
    }
    this.#insert = this.#database.prepare('INSERT OR IGNORE INTO places VALUES (?, ?, ?, ?)');
    this.#select = this.#database.prepare('SELECT parent, name, inode FROM places WHERE handle = ?');
    this.#remove = this.#database.prepare('DELETE FROM places WHERE handle = ? AND parent = ? AND name = ?');
    this.#forget = this.#database.prepare('DELETE FROM places WHERE handle = ?');
  }

  /** In one transaction. */
  add(rows: readonly PlaceRow[]): void {
    const fresh = rows.filter((row) => !this.#known.has(keyOf(row)));
    if (fresh.length === 0) return;
    this.#together(fresh.length > 1, () => {
      for (const row of fresh) this.#insert.run(blob(row.handle), blob(row.parent), blob(row.name), `${row.inode}`);
    });
    if (this.#known.size + fresh.length > knownMaximum) this.#known.clear();
    for (const row of fresh) this.#known.add(keyOf(row));
  }

  move(handle: FileHandle, from: Omit<PlaceRow, 'handle'>, to: Omit<PlaceRow, 'handle'>): void {
    this.#together(true, () => {
      this.#insert.run(blob(handle), blob(to.parent), blob(to.name), `${to.inode}`);
      this.#remove.run(blob(handle), blob(from.parent), blob(from.name));
    });
    this.#known.delete(keyOf({ handle, ...from }));
  }

  remove(handle: FileHandle, parent: FileHandle, name: string): void {
    this.#remove.run(blob(handle), blob(parent), blob(name));
    this.#known.delete(keyOf({ handle, parent, name }));
  }

  forget(handle: FileHandle): void {
    for (const row of this.of(handle)) this.#known.delete(keyOf(row));
    this.#forget.run(blob(handle));
  }

  of(handle: FileHandle): PlaceRow[] {
    return this.#select.all(blob(handle)).map(({ parent, name, inode }) => ({
      handle,
      parent: text(parent),
      name: text(name),
      inode: BigInt(String(inode)),
    }));
  }

  close(): void {
    this.#database.close();
  }

  #together(transaction: boolean, action: () => void): void {
    if (!transaction) {
      action();
      return;
    }
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      action();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

function keyOf(row: { handle: FileHandle; parent: FileHandle; name: string }): string {
  return `${row.handle}/${row.parent}/${row.name}`;
}
function blob(value: string): Buffer {
  return Buffer.from(value, 'latin1');
}
function text(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : '';
}
