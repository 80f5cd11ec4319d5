/**
 * Tells the origin what was learned of files.
 *
 *     recording over ──told──> forgotten here
 *          └──not taken, or nobody to tell it to──> once more at the end, with what was written
 *
 * Invariants: one recording is told once at a time, and no more once it was taken; at the end a bounded number of files at a time; it
 * never rejects.
 */
import { inParallel, type Log } from '../../base/mod.ts';
import { encodeWorkingSet, type Purpose } from '../../content/mod.ts';
import type { WorkingSetPublisher } from '../../vfs/mod.ts';
import { writtenPurpose } from './contract.ts';
import type { TrackedFile } from './tracked-file.ts';

export interface PublicationsOptions {
  readonly publisher: WorkingSetPublisher | undefined;
  readonly purpose: Purpose;
  readonly log: Log;
}

/** A server merges them one after the other, and lets a bounded number wait. */
const width = 8;

export class Publications {
  readonly #options: PublicationsOptions;
  readonly counters = { published: 0, notPublished: 0 };

  constructor(options: PublicationsOptions) {
    this.#options = options;
  }

  /** What the recording of one file taught. */
  recorded(file: TrackedFile): Promise<void> {
    if (file.isPublished) return Promise.resolve();
    file.publishing ??= this.#publish(file, this.#options.purpose).then((isTold) => {
      file.publishing = undefined;
      file.isPublished = isTold;
      if (isTold && file.isOver) file.reads.end();
    });
    return file.publishing;
  }

  /** All that was not told yet, until it is too late for it. */
  async rest(files: Iterable<TrackedFile>, isLate: () => boolean): Promise<void> {
    await inParallel(files, width, async (file) => {
      if (!isLate()) await this.recorded(file);
      if (!isLate()) await this.#publish(file, writtenPurpose);
    });
  }

  /** Whether it needs not be told again. */
  async #publish(file: TrackedFile, purpose: Purpose): Promise<boolean> {
    const { publisher, log } = this.#options;
    const set = publisher === undefined ? undefined : file.learned(purpose);
    if (publisher === undefined || set === undefined) return true;
    const { place, call } = file;
    if (!publisher.canPublish() || place === undefined || call === undefined) return false;
    try {
      const { status } = await publisher.publishWorkingSet(call, { place, set: encodeWorkingSet(set) });
      if (status === 0) {
        this.counters.published++;
        return true;
      }
      log.debug({ file: place.name, purpose, status }, 'the origin does not take a working set');
    } catch (error) {
      log.debug({ file: place.name, purpose, error }, 'a working set could not be published');
    }
    this.counters.notPublished++;
    return false;
  }
}
