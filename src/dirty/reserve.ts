/**
 * Files that hold room for the log's own records while the disk is full: what waits can be drained only if seals, notes and DRAINED records
 * can be written, and a killed process can come back only if it can begin a segment.
 *
 *     spare-1, spare-2 ──take: zeros, synced, renamed──► segment-N (for control only) ──superseded by the next one──► spare again
 *
 * Two of them: while one is in use, what it holds can move on into the other. They stay over a kill and a close. Made with the log; without
 * both of them no segment for changes is made.
 *
 * Invariant: the room of a spare is never given back to the disk on its way into the log or back.
 */
import type { LogDirectory, LogFile } from './contract.ts';
import { segmentName, spareName, spareNumber } from './format.ts';

const mostSpares = 2;
const windowBytes = 256 * 1024;

interface Spare {
  readonly name: string;
  readonly file: LogFile;
}

export class Reserve {
  readonly #directory: LogDirectory;
  #spares: Spare[] = [];
  #nextNumber = 1;
  bytes = 0;
  /** Of each spare: what the next head needs, and as much again. */
  wantedBytes: number;

  constructor(directory: LogDirectory, wantedBytes: number) {
    this.#directory = directory;
    this.wantedBytes = wantedBytes;
  }

  /** Those that an earlier process left. */
  async find(): Promise<void> {
    for (const name of await this.#directory.list()) {
      const number = spareNumber(name);
      if (number === undefined) continue;
      this.#add({ name, file: await this.#directory.open(name) });
      this.#nextNumber = Math.max(this.#nextNumber, number + 1);
    }
  }

  get isComplete(): boolean {
    return this.#spares.filter(({ file }) => file.size >= this.wantedBytes).length >= mostSpares;
  }

  /** Makes what is missing. Rejects as the disk does; ENOSPC: some may have been made. */
  async fill(): Promise<void> {
    while (!this.isComplete) {
      const name = spareName(this.#nextNumber++);
      const file = await this.#directory.create(name, this.wantedBytes);
      this.#add({ name, file });
      // A length that a power loss takes is no room.
      await file.datasync();
    }
    // Those that have become too small.
    const sorted = [...this.#spares].sort((a, b) => b.file.size - a.file.size);
    for (const spare of sorted.slice(mostSpares)) {
      this.#drop(spare);
      await spare.file.close();
      await this.#directory.remove(spare.name);
    }
  }

  /** The file of a new segment; undefined: no spare is large enough. The caller syncs the directory before the segment counts. */
  async take(segment: number, neededBytes: number): Promise<LogFile | undefined> {
    const spare = this.#spares.find(({ file }) => file.size >= neededBytes);
    if (spare === undefined) return undefined;
    // Records of a segment with this number, whose name did not survive a power loss, must not join the new ones.
    if (await wipe(spare.file)) await spare.file.datasync();
    await this.#directory.rename(spare.name, segmentName(segment));
    this.#drop(spare);
    return spare.file;
  }

  /** The file of a segment that does not count any more becomes a spare. Rejects as the disk does; the file stays open. */
  async giveBack(segment: number, file: LogFile): Promise<void> {
    const name = spareName(this.#nextNumber++);
    await this.#directory.rename(segmentName(segment), name);
    this.#add({ name, file });
  }

  /** Whether a file of this size that is not needed elsewhere should be a spare. A whole segment is not: changes have waited for its room. */
  wants(bytes: number): boolean {
    return this.#spares.length < mostSpares && bytes >= this.wantedBytes && bytes < 2 * this.wantedBytes;
  }

  get names(): string[] {
    return this.#spares.map(({ name }) => name);
  }

  get largestBytes(): number {
    return this.#spares.reduce((most, { file }) => Math.max(most, file.size), 0);
  }

  async close(): Promise<void> {
    for (const { file } of this.#spares.splice(0)) await file.close();
  }

  #add(spare: Spare): void {
    this.#spares.push(spare);
    this.bytes += spare.file.size;
  }

  #drop(spare: Spare): void {
    this.#spares = this.#spares.filter((other) => other !== spare);
    this.bytes -= spare.file.size;
  }
}

/** Zeros, wherever something else is. True: something was. */
async function wipe(file: LogFile): Promise<boolean> {
  const zeros = Buffer.alloc(windowBytes);
  let isChanged = false;
  for (let at = 0; at < file.size; at += windowBytes) {
    const count = Math.min(windowBytes, file.size - at);
    const bytes = await file.read(at, count);
    if (zeros.subarray(0, count).equals(bytes)) continue;
    isChanged = true;
    await file.write(at, [zeros.subarray(0, count)]);
  }
  return isChanged;
}
