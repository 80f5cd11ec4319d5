/**
 * Which dirty logs this user's sessions opened, so that what a session left behind is not forgotten with its process.
 *
 *     STATE/dirty-logs/HASH.json    one a log (HASH: of its directory); written when it is opened, removed at an end that left nothing
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
  left: z.object({ bytes: z.number(), files: z.number(), conflicts: z.number() }).optional(),
});

export type LogNote = z.infer<typeof noteSchema>;

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
    const fresh = `${path}.new`;
    writeFileSync(fresh, `${JSON.stringify(note)}\n`, { mode: 0o600, flush: true });
    renameSync(fresh, path);
    this.#sync();
  }

  remove(directory: string): void {
    rmSync(this.pathOf(directory), { force: true });
  }

  /** `damaged`: paths of notes that cannot be read. */
  read(): { readonly notes: readonly LogNote[]; readonly damaged: readonly string[] } {
    const notes: LogNote[] = [];
    const damaged: string[] = [];
    for (const name of this.#names()) {
      const path = join(this.#directory, name);
      try {
        notes.push(noteSchema.parse(JSON.parse(readFileSync(path, 'utf8'))));
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
