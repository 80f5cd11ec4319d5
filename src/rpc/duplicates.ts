/**
 * The duplicate request cache: a non-idempotent call that is sent again is not executed again.
 *
 *     new --begin--> in progress --complete--> kept (reply bytes) --age, count or bytes--> gone
 *                        |  duplicates only move the reply       |  duplicates get the bytes again
 *                        +--forget (bug, silence)--> gone
 *
 * The key is client address, xid, program, version, procedure and a checksum of the arguments, not the source port: a client
 * that reconnects from another port is the same client. Invariants: calls in progress are never evicted (the connections'
 * own limits bound them); kept replies are bounded by count, bytes and age; with a journal a reply is kept only once it is
 * written there, so that it survives a restart. With a journal a call is executed only once its beginning is written there: if
 * the process is killed before it has the reply, the next one knows that a call sent again may meet its own work (`isRepeat`).
 */
import { crc32 } from 'node:zlib';
import { type Clock, chain, type Eventual, type Log, limits, silentLog, systemClock } from '../base/mod.ts';
import type { CallHeader } from './call.ts';
import type { ReplyChannel } from './channel.ts';
import { DuplicateJournal } from './duplicate-journal.ts';

export interface Duplicate {
  readonly key: string;
  /** The whole reply message, once it may be sent. */
  reply: Buffer | undefined;
  /** Where the reply goes while the call is in progress. */
  channel: ReplyChannel | undefined;
  keptAt: number;
}

export interface DuplicateOptions {
  readonly clock?: Clock;
  readonly maximumEntries?: number;
  readonly maximumBytes?: number;
  readonly maximumAgeMs?: number;
}

export class DuplicateRequestCache {
  readonly #clock: Clock;
  readonly #maximumEntries: number;
  readonly #maximumBytes: number;
  readonly #maximumAgeMs: number;
  /** In order of completion, oldest first. */
  readonly #kept = new Map<string, Duplicate>();
  readonly #inProgress = new Map<string, Duplicate>();
  /** Calls of the process before this one that began and were not answered. */
  readonly #begun = new Set<string>();
  #begunUntil = Number.NEGATIVE_INFINITY;
  #keptBytes = 0;
  #journal: DuplicateJournal | undefined;

  constructor(options: DuplicateOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#maximumEntries = options.maximumEntries ?? limits.duplicateRequests;
    this.#maximumBytes = options.maximumBytes ?? limits.duplicateBytes;
    this.#maximumAgeMs = options.maximumAgeMs ?? limits.duplicateAgeMs;
  }

  /** A cache whose replies survive a restart in the file at `path`. Its age starts anew when it is opened. */
  static async open(path: string, options: DuplicateOptions & { log?: Log } = {}): Promise<DuplicateRequestCache> {
    const cache = new DuplicateRequestCache(options);
    cache.#journal = await DuplicateJournal.open(
      path,
      { log: options.log ?? silentLog, clock: cache.#clock },
      {
        live: () => cache.#live(),
        add(key, reply) {
          if (reply === undefined) cache.#remember(key);
          else cache.#keep({ key, reply, channel: undefined, keptAt: 0 }, reply);
        },
      },
    );
    cache.#begunUntil = cache.#clock.now() + cache.#maximumAgeMs;
    return cache;
  }

  find(key: string): Duplicate | undefined {
    const inProgress = this.#inProgress.get(key);
    if (inProgress !== undefined) return inProgress;
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (this.#clock.now() - kept.keptAt <= this.#maximumAgeMs) return kept;
    this.#drop(kept);
    return undefined;
  }

  begin(key: string, channel: ReplyChannel): Duplicate {
    const entry: Duplicate = { key, reply: undefined, channel, keptAt: 0 };
    this.#inProgress.set(key, entry);
    return entry;
  }

  /** When this settles, the call may be executed. Never rejects: a journal that cannot be written is logged. */
  noteBegun(entry: Duplicate): Eventual<void> {
    return this.#journal?.append(entry.key, undefined);
  }

  /** Whether the process before this one began the call, and ended before it could keep a reply. */
  isRepeat(key: string): boolean {
    return this.#begun.has(key) && this.#clock.now() <= this.#begunUntil;
  }

  /** Keeps the reply; when this settles, it may be sent. Never rejects: a journal that cannot be written is logged. */
  complete(entry: Duplicate, reply: Buffer): Eventual<void> {
    if (this.#journal === undefined) {
      this.#keep(entry, reply);
      return undefined;
    }
    return chain(this.#journal.append(entry.key, reply), () => this.#keep(entry, reply));
  }

  /** The call was not answered: a second sending is executed. */
  forget(entry: Duplicate): void {
    this.#inProgress.delete(entry.key);
  }

  stats(): { kept: number; keptBytes: number; inProgress: number } {
    return { kept: this.#kept.size, keptBytes: this.#keptBytes, inProgress: this.#inProgress.size };
  }

  async close(): Promise<void> {
    await this.#journal?.close();
  }

  *#live(): Iterable<{ readonly key: string; readonly reply: Buffer | undefined }> {
    for (const key of this.#begun) yield { key, reply: undefined };
    yield* this.#kept.values();
    yield* this.#inProgress.values();
  }

  #remember(key: string): void {
    this.#begun.delete(key);
    this.#begun.add(key);
    const oldest = this.#begun.values().next().value;
    if (this.#begun.size > this.#maximumEntries && oldest !== undefined) this.#begun.delete(oldest);
  }

  #keep(entry: Duplicate, reply: Buffer): void {
    this.#inProgress.delete(entry.key);
    this.#begun.delete(entry.key);
    const earlier = this.#kept.get(entry.key);
    if (earlier !== undefined) this.#drop(earlier);
    entry.reply = reply;
    entry.keptAt = this.#clock.now();
    this.#kept.set(entry.key, entry);
    this.#keptBytes += entryBytes(entry);
    for (const oldest of this.#kept.values()) {
      const fits = this.#kept.size <= this.#maximumEntries && this.#keptBytes <= this.#maximumBytes;
      if (fits && entry.keptAt - oldest.keptAt <= this.#maximumAgeMs) break;
      this.#drop(oldest);
    }
  }

  #drop(entry: Duplicate): void {
    this.#kept.delete(entry.key);
    this.#keptBytes -= entryBytes(entry);
  }
}

function entryBytes(entry: Duplicate): number {
  return entry.key.length + (entry.reply?.length ?? 0);
}

/** The identity of a call whose arguments are the last `argumentBytes` of `record`. */
export function duplicateKey(
  address: string,
  header: CallHeader,
  record: readonly Buffer[],
  argumentBytes: number,
): string {
  let skip = -argumentBytes;
  for (let i = 0; i < record.length; i++) skip += record[i]!.length;
  let checksum = 0;
  for (let i = 0; i < record.length; i++) {
    const part = record[i]!;
    if (skip < part.length) checksum = crc32(skip > 0 ? part.subarray(skip) : part, checksum);
    skip = Math.max(0, skip - part.length);
  }
  return `${address} ${header.xid} ${header.program}.${header.version}.${header.procedure} ${checksum} ${argumentBytes}`;
}
