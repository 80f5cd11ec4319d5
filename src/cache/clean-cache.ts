/**
 * The clean cache: one directory, one owner, any number of attached threads.
 *
 *   open ─► (share ─► attach in a worker ─► close there)* ─► close
 *
 * The owner holds the lock and is closed last. Losing the process at any moment loses what was noted in the last 25 ms.
 */

import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type Log, type Timer, ViaductError } from '../base/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import { nobodysHolder } from './accounts.ts';
import { dropFiles, fileFound, fileUnder, type ThreadParts } from './cached-file.ts';
import type {
  AttachOptions,
  BankReport,
  CachedFile,
  CacheOwner,
  CacheShare,
  CacheStat,
  CleanCacheOptions,
  DirectoryStat,
  OwnerOptions,
  VerifyReport,
} from './contract.ts';
import { openDirectory, unmakeDirectory } from './directory.ts';
import { systemDisk, writeAll } from './disk.ts';
import { Engine } from './engine.ts';
import { geometryFor, statOffset } from './geometry.ts';
import { freeIndexOf } from './index-writer.ts';
import { loadIndex } from './loader.ts';
import {
  attachments,
  type CacheMemory,
  controlWord,
  identify,
  sharedSizeBytes,
  shareMemory,
  viewMemory,
  viewOwn,
} from './memory.ts';
import { NamedOwner } from './named-owner.ts';
import { Reader } from './reader.ts';
import { reserveMemory } from './reserve.ts';
import { freeLocks } from './spin-lock.ts';
import { cacheStat, encodeStatPage, readStat } from './stat.ts';
import { Store } from './store.ts';
import { verifyCache } from './verify.ts';
import { endGuards } from './write-guard.ts';

const statPeriodMs = 1000;
const ownerAttachment = 0;

export class CleanCache {
  private readonly parts: ThreadParts;
  private readonly indexDescriptor: number;
  /** Of the owner only. */
  private readonly lockDescriptor: number | undefined;
  /** Of the owner of a directory in which nothing was before. */
  private made: readonly string[] | undefined;
  private statTimer: Timer | undefined;
  private writtenStat = '';
  private readonly indexDamage: string[] = [];
  private closed = false;

  private constructor(engine: Engine, indexDescriptor: number, lockDescriptor: number | undefined) {
    this.parts = { engine, reader: new Reader(engine), store: new Store(engine) };
    this.indexDescriptor = indexDescriptor;
    this.lockDescriptor = lockDescriptor;
  }

  /** Locks and opens the directory, making it if needed. Fails with CACHE_IN_USE, CACHE_FOREIGN, CACHE_VERSION, DISK_FULL. */
  static async open(options: CleanCacheOptions): Promise<CleanCache> {
    const { log, random, directory } = options;
    // First, since a cache of another size is emptied by opening its directory.
    const memory = reserveMemory(options);
    const opened = openDirectory(options);
    identify(memory, opened.uuid);
    memory.control[controlWord.persistent] = 1;
    memory.control[controlWord.open] = 1;
    memory.attached[ownerAttachment] = 1;
    const engine = new Engine({
      ...{ memory, attachment: ownerAttachment, directory, indexDescriptor: opened.indexDescriptor },
      ...{ disk: options.disk ?? systemDisk, clock: options.clock, log, random },
    });
    const cache = new CleanCache(engine, opened.indexDescriptor, opened.lockDescriptor);
    cache.made = opened.made;
    if (opened.damage !== undefined) cache.indexDamage.push(opened.damage);
    if (!opened.fresh) cache.indexDamage.push(...load(memory, engine, opened.indexDescriptor, log));
    cache.keepStat();
    return cache;
  }

  /** In another thread of the same process. The owner must be closed last. */
  static attach(share: CacheShare, options: AttachOptions): CleanCache {
    const memory = viewMemory(share.memory, geometryFor(sharedSizeBytes(share.memory)));
    const { directory, attachment } = share;
    const indexDescriptor = openSync(join(directory, 'index'), 'r+');
    Atomics.store(memory.attached, attachment, 1);
    const engine = new Engine({
      ...{ memory, attachment, directory, indexDescriptor },
      ...{ disk: options.disk ?? systemDisk, clock: options.clock, log: options.log, random: options.random },
    });
    return new CleanCache(engine, indexDescriptor, undefined);
  }

  static readStat(directory: string): DirectoryStat {
    return readStat(directory);
  }

  /** For one attachment; each worker gets a share of its own. */
  share(): CacheShare {
    const { memory, parts } = this.parts.engine;
    const shared = shareMemory(memory);
    for (let attachment = ownerAttachment + 1; attachment < attachments; attachment++) {
      if (Atomics.compareExchange(memory.attached, attachment, 0, 2) !== 0) continue;
      return { directory: parts.directory, attachment, memory: shared };
    }
    throw new ViaductError('UNEXPECTED', {
      cause: `the cache has ${attachments} attachments already`,
      remedy: 'report this: workers that ended were not given back',
    });
  }

  /**
   * The worker that had this share has ended without closing its attachment, its disk writes included ('exit' comes after them). Nobody has to
   * wait for a lock of it, or goes without what it was writing; what it had noted for the index file, or written there in part, is written
   * by this thread.
   */
  lost(share: CacheShare): void {
    const { memory, records, tags, index } = this.parts.engine;
    const { attachment } = share;
    const own = viewOwn(share.memory);
    // What it held goes first: whoever gets the attachment next may hold the same.
    records.lost(attachment);
    freeLocks(memory.setLocks, attachment);
    freeLocks(memory.control.subarray(controlWord.accountLock, controlWord.accountLock + 1), attachment);
    freeIndexOf(memory, attachment);
    for (const set of tags.lost(own)) index.noteSet(set);
    endGuards(memory, own);
    index.adoptAll();
    Atomics.store(memory.attached, attachment, 0);
  }

  /** The record of `key` (16 bytes, latin1) for `stamp`; a different stamp than before begins a new version. Always live at return. */
  file(key: string, stamp: FileStamp): CachedFile {
    return fileUnder(this.parts, key, stamp, nobodysHolder);
  }

  /** The record of `key` whatever it stands for, or undefined. */
  find(key: string): CachedFile | undefined {
    return fileFound(this.parts, key, nobodysHolder);
  }

  /** On whose account files are kept. Any thread may ask; whoever began it ends it. */
  owner(options: OwnerOptions): CacheOwner {
    return new NamedOwner(this.parts, options);
  }

  /**
   * Drops every file, for all threads: what is under way for them is refused when it arrives. Their frames are used again in time. It
   * stays dropped whatever happens once the promise is done.
   */
  clear(): Promise<void> {
    return dropFiles(this.parts);
  }

  stat(): CacheStat {
    return cacheStat(this.parts.engine.memory);
  }

  /** Reads all that is kept and checks it; bad sectors are dropped. May run while the cache is used. */
  async verify(onProgress: (done: BankReport) => void = () => {}): Promise<VerifyReport> {
    const sectors = await this.parts.engine.during(verifyCache(this.parts.engine, onProgress));
    return { ...sectors, indexDamage: [...this.indexDamage] };
  }

  /** All tags and records of this thread are in the index file (not: on the disk). */
  async sync(): Promise<void> {
    await this.parts.engine.index.flushNow();
  }

  /**
   * Waits for what is under way. Hits that are not released yet stay readable. `unmake`: it was opened for nothing; if nothing was there
   * before, nothing stays.
   */
  async close({ unmake = false }: { readonly unmake?: boolean } = {}): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    const { engine } = this.parts;
    const { memory, attachment, log } = engine.parts;
    this.statTimer?.cancel();
    await engine.quiet();
    await engine.index.flushNow();
    let alone = true;
    if (this.lockDescriptor !== undefined) {
      alone = memory.attached.every((state, index) => index === ownerAttachment || state !== 1);
      if (alone) await this.clearMarks();
      else log.warn({}, 'the cache was closed while other threads use it: its lock stays until the process ends');
      await this.writeStat();
    }
    engine.index.stop();
    engine.banks.close();
    closeSync(this.indexDescriptor);
    Atomics.store(memory.attached, attachment, 0);
    if (this.lockDescriptor === undefined || !alone) return;
    if (unmake && this.made !== undefined) unmakeDirectory(engine.parts.directory, this.made);
    closeSync(this.lockDescriptor);
  }

  /** Once tags are on the disk, an older state of them cannot come back: files written by us are as good as others. */
  private async clearMarks(): Promise<void> {
    const { engine } = this.parts;
    if (!engine.records.anyMarked()) return;
    await engine.index.flushDurably();
    engine.records.clearMarks();
    await engine.index.flushDurably();
  }

  private keepStat(): void {
    this.statTimer = this.parts.engine.parts.clock.after(statPeriodMs, () => {
      void this.parts.engine.during(this.writeStat());
      this.keepStat();
    });
  }

  private async writeStat(): Promise<void> {
    const { memory, parts } = this.parts.engine;
    if (Atomics.load(memory.control, controlWord.persistent) === 0) return;
    const stat = cacheStat(memory);
    const text = JSON.stringify(stat);
    if (text === this.writtenStat) return;
    this.writtenStat = text;
    const page = encodeStatPage(stat, parts.clock.wallTimeMs());
    // Not worth a word when it fails: the disk's trouble is told by those who need it.
    await writeAll(parts.disk, this.indexDescriptor, [page], statOffset).catch(() => {});
  }
}

function load(memory: CacheMemory, engine: Engine, descriptor: number, log: Log): string[] {
  const report = loadIndex(memory, descriptor);
  for (const set of report.changedSets) engine.index.noteSet(set);
  for (const slot of report.changedRecords) engine.index.noteRecord(slot);
  const { damagedSets, damagedRecords, unsureRecords } = report;
  if (damagedSets + damagedRecords > 0) {
    log.warn({ damagedSets, damagedRecords }, 'parts of the cache index are damaged and were forgotten');
  }
  if (unsureRecords > 0)
    log.info({ unsureRecords }, 'the host went down while files were written: their cached data were forgotten');
  if (damagedSets + damagedRecords === 0) return [];
  return [`${damagedSets} sets and ${damagedRecords} file records of the index were damaged`];
}
