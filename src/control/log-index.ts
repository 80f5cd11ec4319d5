/**
 * Which dirty logs this user's sessions opened, so that what a session left behind is not forgotten with its process.
 *
 *     STATE/dirty-logs/HASH.json         one a directory (HASH: of it); written when its log is opened, removed at an end that left nothing
 *     STATE/dirty-logs/HASH-LOG.json     of a log that was given up for a new one in the same directory (LOG: of its header)
 *     STATE: $VIADUCT_STATE_DIR, else /var/lib/viaduct for root, else $XDG_STATE_HOME/viaduct, else ~/.local/state/viaduct
 *
 * Invariants: the place does not depend on --state-directory or --dirty-log (`viaduct status` knows neither) and survives a reboot;
 * a note is whole or absent.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { systemCode } from '../base/mod.ts';
import { makeDirectory } from '../native/mod.ts';

const noteSchema = z.object({
  directory: z.string(),
  origin: z.string(),
  /** Where clients found the session: ADDR:PORT. */
  listen: z.string(),
  policy: z.enum(['write-back', 'redirect']),
  pid: z.number(),
  /** Of the process, as its status says it: process numbers come back. */
  startedAt: z.string(),
  /** Starts the session again. */
  restart: z.string(),
  /** What an orderly end left behind. */
  left: z
    .object({ bytes: z.number(), files: z.number(), conflicts: z.number(), lostTo: z.string().optional() })
    .optional(),
  /** Which log it was, as its header says: another may lie in its place. */
  log: z.string().optional(),
});

export type LogNote = z.infer<typeof noteSchema>;

export interface FoundNote extends LogNote {
  readonly path: string;
  /** Another log was begun in the same directory. */
  readonly isSetAside: boolean;
}

export interface StatePlace {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  readonly home: string;
}

/** Below it everything lies that outlives a process and has no place of its own. */
export function stateBase({ environment, uid, home }: StatePlace): string {
  if (environment.VIADUCT_STATE_DIR) return environment.VIADUCT_STATE_DIR;
  if (uid === 0) return '/var/lib/viaduct';
  return join(environment.XDG_STATE_HOME || join(home, '.local/state'), 'viaduct');
}

export class LogIndex {
  readonly #directory: string;

  constructor(base: string) {
    this.#directory = join(base, 'dirty-logs');
  }

  /** Throws what the file system throws. */
  write(note: LogNote): void {
    makeDirectory(this.#directory, 0o700);
    const path = this.pathOf(note.directory);
    this.#keepOther(note);
    const fresh = `${path}.new`;
    writeFileSync(fresh, `${JSON.stringify(note)}\n`, { mode: 0o600, flush: true });
    renameSync(fresh, path);
    this.#sync();
  }

  /** What was noted of another log in the same directory stays. */
  remove({ directory, log }: Pick<LogNote, 'directory' | 'log'>): void {
    const noted = this.find(directory);
    if (noted === undefined || isSame(noted, log)) rmSync(this.pathOf(directory), { force: true });
  }

  /** What was last noted of this directory. */
  find(directory: string): FoundNote | undefined {
    return this.read().notes.find((note) => note.directory === directory && !note.isSetAside);
  }

  /** `damaged`: paths of notes that cannot be read. */
  read(): { readonly notes: readonly FoundNote[]; readonly damaged: readonly string[] } {
    const notes: FoundNote[] = [];
    const damaged: string[] = [];
    for (const name of this.#names()) {
      const path = join(this.#directory, name);
      try {
        const note = noteSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
        notes.push({ ...note, path, isSetAside: path !== this.pathOf(note.directory) });
      } catch (error) {
        // A session that ends meanwhile removes its own.
        if (systemCode(error) !== 'ENOENT') damaged.push(path);
      }
    }
    return { notes, damaged };
  }

  pathOf(directory: string): string {
    const name = createHash('sha256').update(directory).digest('hex').slice(0, 16);
    return join(this.#directory, `${name}.json`);
  }

  /** A note of another log is moved out of the way; that of this one, if it had been, is over. */
  #keepOther({ directory, log }: LogNote): void {
    for (const noted of this.read().notes) {
      if (noted.directory !== directory) continue;
      if (noted.isSetAside && log !== undefined && noted.log === log) rmSync(noted.path, { force: true });
      if (!noted.isSetAside && !isSame(noted, log)) renameSync(noted.path, this.#asidePath(noted));
    }
  }

  #asidePath({ directory, log, startedAt }: LogNote): string {
    return this.pathOf(directory).replace(/\.json$/, `-${log ?? startedAt.replaceAll(/\W/g, '')}.json`);
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory).filter((name) => name.endsWith('.json'));
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }

  #sync(): void {
    const descriptor = openSync(this.#directory, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}

/** A note that does not say which log it is of is of any. */
function isSame(noted: LogNote, log: string | undefined): boolean {
  return noted.log === undefined || log === undefined || noted.log === log;
}
