/**
 * The file behind the duplicate request cache: append-only, one record for each call that begins and one for each kept reply.
 *
 *     file     magic 'VIADRC02' | record | record | ...
 *     record   u32 payload length | u32 crc32(payload) | payload
 *     payload  u16 key length | key (latin1) | reply message; empty: the call began
 *
 * `VIADRC01` had replies alone, and is read too.
 *
 * It has to survive the end of the process, not of the machine, so it is written and not synced: after a power loss the
 * clients' memory of their calls is mostly gone too. Reading stops at the first record that is cut off or does not verify
 * (the tail of an interrupted write). When dead records outweigh live ones, the live ones are written to a new file that is
 * renamed over the old.
 *
 *     append --written at once: callers go on, no thread is woken (each of these would cost a call more than its own work)
 *        └─ while a write is under way, or the kernel makes writers wait (a write took `slowMs`, for `restMs`):
 *           waiting --one write for all that wait--> written -> callers go on          (one write at a time, in order)
 */
import { writeSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, unlink } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { type Clock, type Eventual, type Log, limits, systemCode, ViaductError } from '../base/mod.ts';

const magic = Buffer.from('VIADRC02', 'latin1');
const earlierMagic = Buffer.from('VIADRC01', 'latin1');
const headerBytes = 8;
const slowMs = 2;
const restMs = 1_000;
const compactAboveBytes = 2 * limits.duplicateBytes;

export interface JournalOwner {
  /** What is worth keeping, oldest first; without a reply it has only begun. */
  live(): Iterable<{ readonly key: string; readonly reply: Buffer | undefined }>;
  /** One record found when the file is opened, oldest first. */
  add(key: string, reply: Buffer | undefined): void;
}

export interface JournalTools {
  readonly log: Log;
  readonly clock: Clock;
}

export class DuplicateJournal {
  readonly #path: string;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #owner: JournalOwner;
  #file: FileHandle | undefined;
  #fileBytes = 0;
  #waiting: Buffer[] = [];
  /** Settles when all that waits now is written. */
  #next: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** Writes begun and not ended; while there is one, nothing may overtake it. */
  #underWay = 0;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #failed = false;

  private constructor(path: string, tools: JournalTools, owner: JournalOwner) {
    this.#path = path;
    this.#log = tools.log;
    this.#clock = tools.clock;
    this.#owner = owner;
  }

  static async open(path: string, tools: JournalTools, owner: JournalOwner): Promise<DuplicateJournal> {
    const journal = new DuplicateJournal(path, tools, owner);
    try {
      journal.#load(await readExisting(path));
      await journal.#rewrite();
    } catch (error) {
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `the file of kept replies ${path} cannot be used: ${systemCode(error) ?? String(error)}`,
        remedy: 'Give a directory that this process may write, on a disk with room.',
        from: error,
      });
    }
    return journal;
  }

  /** Settles once the record is written. Never rejects. */
  append(key: string, reply: Buffer | undefined): Eventual<void> {
    const record = encodeRecord(key, reply);
    if (this.#underWay === 0 && this.#writeAtOnce(record)) return undefined;
    this.#waiting.push(record);
    if (this.#next === undefined) {
      this.#underWay++;
      this.#next = this.#writing.then(() => this.#write());
      this.#writing = this.#next;
    }
    return this.#next;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  /** False: not written; what is at the end of the file now is overwritten by the next. */
  #writeAtOnce(record: Buffer): boolean {
    const file = this.#file;
    const begin = this.#clock.now();
    if (file === undefined || this.#failed || begin < this.#restUntilMs) return false;
    if (this.#fileBytes > compactAboveBytes) return false;
    let written = 0;
    try {
      written = writeSync(file.fd, record, 0, record.length, this.#fileBytes);
    } catch {
      // The thread's attempt tells.
    }
    const end = this.#clock.now();
    if (end - begin >= slowMs) this.#restUntilMs = end + restMs;
    if (written < record.length) return false;
    this.#fileBytes += record.length;
    return true;
  }

  async #write(): Promise<void> {
    const batch = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#next = undefined;
    try {
      if (this.#fileBytes > compactAboveBytes) await this.#rewrite();
      await writeAll(this.#file!, batch, this.#fileBytes);
      this.#fileBytes += batch.length;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) {
        this.#log.error(
          { path: this.#path, error: systemCode(error) ?? String(error) },
          'kept replies cannot be written: until the disk has room, a restart may execute a retransmitted call twice',
        );
      }
      this.#failed = true;
    } finally {
      this.#underWay--;
    }
  }

  #load(content: Buffer): void {
    if (content.length === 0) return;
    const found = content.subarray(0, magic.length);
    if (!found.equals(magic) && !found.equals(earlierMagic)) {
      this.#log.warn({ path: this.#path }, 'the file of kept replies is not one of ours or is damaged: starting anew');
      return;
    }
    let position = magic.length;
    while (position + headerBytes <= content.length) {
      const length = content.readUInt32BE(position);
      const checksum = content.readUInt32BE(position + 4);
      const start = position + headerBytes;
      if (length < 2 || start + length > content.length) break;
      const payload = content.subarray(start, start + length);
      if (crc32(payload) !== checksum) break;
      const keyEnd = 2 + payload.readUInt16BE(0);
      if (keyEnd > length) break;
      const reply = keyEnd === length ? undefined : Buffer.from(payload.subarray(keyEnd));
      this.#owner.add(payload.toString('latin1', 2, keyEnd), reply);
      position = start + length;
    }
    if (position < content.length) {
      this.#log.warn(
        { path: this.#path, position, size: content.length },
        'the tail of the kept replies is damaged: left out',
      );
    }
  }

  /** Writes what is live to a new file and goes on in that. */
  async #rewrite(): Promise<void> {
    const temporary = `${this.#path}.new`;
    const parts: Buffer[] = [magic];
    for (const { key, reply } of this.#owner.live()) parts.push(encodeRecord(key, reply));
    const content = Buffer.concat(parts);
    const file = await open(temporary, 'w', 0o600);
    try {
      await writeAll(file, content, 0);
      await rename(temporary, this.#path);
    } catch (error) {
      await file.close();
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
    await this.#file?.close();
    this.#file = file;
    this.#fileBytes = content.length;
  }
}

function encodeRecord(key: string, reply: Buffer = Buffer.alloc(0)): Buffer {
  const length = 2 + key.length + reply.length;
  const record = Buffer.allocUnsafe(headerBytes + length);
  record.writeUInt16BE(key.length, headerBytes);
  record.write(key, headerBytes + 2, 'latin1');
  reply.copy(record, headerBytes + 2 + key.length);
  record.writeUInt32BE(length, 0);
  record.writeUInt32BE(crc32(record.subarray(headerBytes)), 4);
  return record;
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const result = await file.write(bytes, written, bytes.length - written, position + written);
    written += result.bytesWritten;
  }
}

async function readExisting(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}
