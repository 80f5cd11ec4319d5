/**
 * Who waits for the drain, and what they are told: up to which epoch everything is at the origin, and the conflicts that were met.
 *
 *     add ──► waiting ──its epochs are drained──► noting ──durably noted──► done, or conflict while one is not cleared, or refused while times are owed
 *                └──refused, discarded, lease lost, closed──► answered at once
 *
 * Invariant: each request is answered once; `done` only when a power loss would not send its epochs again.
 */
import type { EpochNumber, FileNumber } from '../../dirty/mod.ts';
import type { DirtyFiles, DrainResult } from './contract.ts';
import { nameOf } from './drain-parts.ts';

interface Request {
  readonly upTo: EpochNumber;
  readonly resolve: (result: DrainResult) => void;
}

export class DrainRequests {
  readonly #files: DirtyFiles;
  /** Whoever asks is told of them until somebody has cleared them. */
  readonly #conflicts = new Set<FileNumber>();
  #requests: Request[] = [];
  #isClosed = false;

  constructor(files: DirtyFiles) {
    this.#files = files;
  }

  get isEmpty(): boolean {
    return this.#requests.length === 0;
  }

  add(upTo: EpochNumber): Promise<DrainResult> {
    return new Promise((resolve) => this.#requests.push({ upTo, resolve }));
  }

  onConflict(file: FileNumber): void {
    this.#conflicts.add(file);
  }

  /**
   * Answers the requests of which nothing is left, as soon as that is noted: one sync for all of them. `oldest`: the oldest epoch that is left;
   * `owed`: what clean files still lack at the origin.
   */
  answerDone(oldest: EpochNumber, owed: readonly string[], noted: () => Promise<void> | undefined): void {
    const done = this.#requests.filter(({ upTo }) => upTo < oldest);
    if (done.length === 0) return;
    this.#requests = this.#requests.filter(({ upTo }) => upTo >= oldest);
    const noting = noted();
    if (noting === undefined) this.#answer(done, owed);
    // The next epoch need not wait: its intents share the sync.
    else
      noting.then(
        () => this.#answer(done, owed),
        (error: unknown) => {
          const problems = [`the dirty log does not sync: ${String(error)}`];
          for (const { resolve } of done) resolve({ outcome: this.#isClosed ? 'closed' : 'refused', problems });
        },
      );
  }

  answerAll(outcome: DrainResult['outcome'], problems: readonly string[]): void {
    for (const { resolve } of this.#requests.splice(0)) resolve({ outcome, problems });
  }

  close(): void {
    this.#isClosed = true;
    this.answerAll('closed', []);
  }

  #answer(done: readonly Request[], owed: readonly string[]): void {
    const conflicts = this.#isClosed ? [] : this.#conflictLines();
    const problems = this.#isClosed ? [] : [...conflicts, ...owed];
    const outcome = conflicts.length > 0 ? 'conflict' : owed.length > 0 ? 'refused' : 'done';
    for (const { resolve } of done) resolve({ outcome: this.#isClosed ? 'closed' : outcome, problems });
  }

  /** Conflicts that nobody has cleared yet. */
  #conflictLines(): string[] {
    const lines: string[] = [];
    for (const number of this.#conflicts) {
      const record = this.#files.byNumber(number);
      if (record?.conflict === undefined) {
        this.#conflicts.delete(number);
        continue;
      }
      const { kind, savedAs } = record.conflict;
      const where = savedAs === undefined ? '' : `; our version: ${savedAs.name}`;
      const name = nameOf(record);
      lines.push(`${name}: conflict (${kind})${where}; to clear it: viaduct conflicts clear ${name}`);
    }
    return lines;
  }
}
