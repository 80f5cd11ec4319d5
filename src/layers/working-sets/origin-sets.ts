/**
 * Finds the working sets that lie beside a file at the origin: `.viaduct/NAME.PURPOSE.ws`.
 *
 * Invariants: a directory without `.viaduct` costs one LOOKUP a minute; whatever lies there, the answer is sets or none, in bounded
 * memory; it never rejects. A set only says what to fetch, so a bad one costs bytes and no more: it must belong to whoever may be
 * trusted with that (trust.ts), and is bounded as the format is.
 */
import { type Clock, type Log, limits } from '../../base/mod.ts';
import {
  ContentError,
  contentDirectory,
  decodeWorkingSet,
  type Purpose,
  type WorkingSet,
  workingSetName,
} from '../../content/mod.ts';
import { type Attributes, type Call, type FileHandle, type Filesystem, FileType, type Place } from '../../vfs/mod.ts';
import { BoundedMap } from '../bounded-map.ts';
import { readRange } from '../content/origin-read.ts';
import { isTrustedDirectory, isTrustedFile } from '../content/trust.ts';

export interface OriginSetsOptions {
  readonly next: Filesystem;
  readonly clock: Clock;
  readonly log: Log;
}

interface Found {
  readonly object: FileHandle;
  readonly attributes: Attributes;
}

interface KnownDirectory {
  touched: boolean;
  readonly hidden: Found | undefined;
  readonly untilMs: number;
}

const directoryMs = 60_000;
const mostDirectories = 1024;
/** Five bytes a block, and the header. */
const mostBytes = limits.workingSetBlocks * 5 + 4096;

export class OriginSets {
  readonly #options: OriginSetsOptions;
  readonly #directories = new BoundedMap<FileHandle, KnownDirectory>(mostDirectories);

  constructor(options: OriginSetsOptions) {
    this.#options = options;
  }

  /** In the order of the purposes; those that are not there are left out. */
  async find(call: Call, place: Place, file: Attributes, purposes: readonly Purpose[]): Promise<WorkingSet[]> {
    try {
      const hidden = await this.#hiddenIn(call, place.directory, file);
      if (hidden === undefined) return [];
      const found = purposes.map((purpose) => this.#read(call, hidden, place.name, file, purpose));
      return (await Promise.all(found)).filter((set) => set !== undefined);
    } catch (error) {
      // The session ends.
      this.#options.log.debug({ file: place.name, error }, 'the working sets of a file could not be looked for');
      return [];
    }
  }

  async #read(
    call: Call,
    hidden: Found,
    name: string,
    file: Attributes,
    purpose: Purpose,
  ): Promise<WorkingSet | undefined> {
    const { next, log } = this.#options;
    const its = workingSetName(name, purpose);
    const found = its === undefined ? undefined : await this.#lookup(call, { directory: hidden.object, name: its });
    if (found === undefined) return undefined;
    const { object, attributes } = found;
    if (!isTrusted(attributes, hidden.attributes, file) || attributes.size > mostBytes) return undefined;
    const read = await readRange(next, call, object, 0, attributes.size);
    if (read.status !== 0) return undefined;
    try {
      const set = decodeWorkingSet(read.bytes);
      return set.purpose === purpose ? set : undefined;
    } catch (error) {
      if (!(error instanceof ContentError)) throw error;
      log.warn({ file: name, purpose, error: error.message }, 'a working set is damaged and is not used');
      return undefined;
    }
  }

  async #hiddenIn(call: Call, directory: FileHandle, file: Attributes): Promise<Found | undefined> {
    const { next, clock } = this.#options;
    let known = this.#directories.get(directory);
    if (known === undefined || known.untilMs <= clock.now()) {
      const hidden = await this.#lookup(call, { directory, name: contentDirectory });
      known = { touched: true, hidden, untilMs: clock.now() + directoryMs };
      this.#directories.set(directory, known);
    }
    known.touched = true;
    if (known.hidden === undefined) return undefined;
    const around = await next.getattr(call, { object: directory });
    const isTrusted = around.status === 0 && isTrustedDirectory(known.hidden.attributes, around.attributes, file);
    return isTrusted ? known.hidden : undefined;
  }

  async #lookup(call: Call, place: Place): Promise<Found | undefined> {
    const { next } = this.#options;
    const found = await next.lookup(call, place);
    if (found.status !== 0) return undefined;
    if (found.attributes !== undefined) return { object: found.object, attributes: found.attributes };
    const got = await next.getattr(call, { object: found.object });
    return got.status === 0 ? { object: found.object, attributes: got.attributes } : undefined;
  }
}

/** As meta-data; or of whoever keeps the directory, which a server does that may not give files away. */
function isTrusted(set: Attributes, hidden: Attributes, file: Attributes): boolean {
  if (set.type !== FileType.REGULAR) return false;
  return isTrustedFile(set, file) || isTrustedFile(set, { ...file, uid: hidden.uid });
}
