/**
 * Keeps the packs of a tree current: looks through it now and then, and packs what has come to rest.
 *
 *     look ──► meta-data fit, or the file is being written to: nothing
 *      │  └──► they do not (mode `all`: or there are none), and it was quiet for a while ──► only its change time moved: adopt
 *      │                                                                                └──► pack
 *      └── rest: at least `pollMs`, and 20 times what looking took
 *
 * What lies there of images that are gone is removed after a day (orphans.ts).
 *
 * It is nobody's hurry: bytes are read at a bounded rate, and a file that took T to pack is left alone for 10 T. What went wrong is told
 * once for each version of a file.
 */
import { statSync } from 'node:fs';
import { type Clock, type Log, limits, type Random, ViaductError } from '../base/mod.ts';
import { ContentError, contentDirectory, metaName, packName } from '../content/mod.ts';
import { AT_FDCWD, StatusReader } from '../native/mod.ts';
import { adoptImage } from './adopt.ts';
import { ContentFolder } from './content-folder.ts';
import type { Crew } from './crew.ts';
import { findImages } from './find.ts';
import { fitOf, fits } from './fit.ts';
import { ImageFile } from './image-file.ts';
import { LocalMeta } from './local-meta.ts';
import { Orphans } from './orphans.ts';
import { packImage } from './pack.ts';
import { pathBuffer, toText } from './paths.ts';

export interface KeeperPlan {
  /** Of the tree, as people write it. */
  readonly directory: string;
  /** `current`: files that have meta-data already; `all`: every file that is large enough. */
  readonly mode: 'current' | 'all';
  /** How long a file must not have changed. */
  readonly quietMs: number;
  readonly pollMs: number;
  readonly bytesPerSecond: number;
}

export interface KeeperTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly crew: Crew;
  readonly signal: AbortSignal;
}

/** What is known of a file, by path: bounded, the oldest goes first, and is looked at again. */
interface Seen {
  /** Version of the file and of its meta-data when it was looked at and nothing was left to do. */
  readonly key: string;
  /** Not looked at before (clock.now). */
  readonly notBeforeMs: number;
}

type Need = 'nothing' | 'pack' | 'adopt';

const restFactor = 20;
const leaveAloneFactor = 10;
/** After a disk was full. */
const fullPauseMs = 10 * 60_000;

export class Keeper {
  readonly #plan: KeeperPlan;
  readonly #tools: KeeperTools;
  readonly #seen = new Map<string, Seen>();
  readonly #orphans: Orphans;
  readonly #pace: (bytes: number) => Promise<void>;

  constructor(plan: KeeperPlan, tools: KeeperTools) {
    this.#plan = plan;
    this.#tools = tools;
    this.#orphans = new Orphans(tools.clock);
    this.#pace = paceOf(plan.bytesPerSecond, tools);
  }

  /** Until the signal. */
  async run(): Promise<void> {
    const { clock, signal } = this.#tools;
    while (!signal.aborted) {
      const started = clock.now();
      const workedMs = await this.look();
      const lookedMs = clock.now() - started - workedMs;
      await pause(clock, Math.max(this.#plan.pollMs, restFactor * lookedMs), signal);
    }
  }

  /** Looks through the tree once. Answers how long it packed. */
  async look(): Promise<number> {
    const { clock, signal } = this.#tools;
    const root = Buffer.from(this.#plan.directory, 'utf8').toString('latin1');
    let workedMs = 0;
    let count = 0;
    const search = {
      isSmallWanted: false,
      onError: (error: Error) => this.#tell(error),
      onContent: (folder: string) => this.#sweep(folder),
    };
    for (const path of findImages(root, search)) {
      if (signal.aborted) break;
      // The thread may be told to end.
      if (++count % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
      const started = clock.now();
      if (await this.#keep(path)) workedMs += clock.now() - started;
    }
    return workedMs;
  }

  #sweep(folder: string): void {
    const { log } = this.#tools;
    try {
      for (const file of this.#orphans.look(folder)) log.info({ file }, 'removed the pack of an image that is gone');
    } catch (error) {
      // Not "read" only: what is gone may be in a folder that this user may not write to.
      this.#tell(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Whether there was anything to do. */
  async #keep(path: string): Promise<boolean> {
    const { clock, log, signal } = this.#tools;
    const key = this.#keyOf(path);
    const seen = this.#seen.get(path);
    if (key === undefined || seen?.key === key || (seen !== undefined && clock.now() < seen.notBeforeMs)) return false;
    try {
      const need = this.#needOf(path);
      if (need === 'nothing') {
        this.#note(path, { key, notBeforeMs: 0 });
        return false;
      }
      const started = clock.now();
      await this.#do(path, need);
      const tookMs = clock.now() - started;
      log.info(
        { file: toText(path), tookMs: Math.round(tookMs) },
        need === 'pack' ? 'packed an image' : 'adopted an image',
      );
      this.#note(path, { key: this.#keyOf(path) ?? '', notBeforeMs: clock.now() + leaveAloneFactor * tookMs });
    } catch (error) {
      if (!signal.aborted) this.#failed(path, key, error);
    }
    return true;
  }

  async #do(path: string, need: 'pack' | 'adopt'): Promise<void> {
    const options = { ...this.#tools, pace: this.#pace };
    if (need === 'adopt' && (await adoptImage(path, options)).outcome !== 'different') return;
    await packImage(path, options);
  }

  #needOf(path: string): Need {
    const { mode } = this.#plan;
    const image = ImageFile.open(path);
    let folder: ContentFolder | undefined;
    let meta: LocalMeta | undefined;
    try {
      folder = ContentFolder.of(image);
      if (folder === undefined) return mode === 'all' ? 'pack' : 'nothing';
      try {
        meta = LocalMeta.open(folder, image.name);
      } catch (error) {
        // It was packed once, by whatever version.
        if (error instanceof ContentError) return 'pack';
        throw error;
      }
      if (meta === undefined) return mode === 'all' ? 'pack' : 'nothing';
      const status = image.status();
      const fit = fitOf(folder, image.name, meta, status);
      if (fits(fit)) return 'nothing';
      const { stamp } = meta.head;
      const isWritten =
        stamp.size !== status.stamp.size ||
        stamp.mtimeSeconds !== status.stamp.mtimeSeconds ||
        stamp.mtimeNanoseconds !== status.stamp.mtimeNanoseconds;
      return isWritten || fit.packless !== undefined ? 'pack' : 'adopt';
    } finally {
      meta?.close();
      folder?.close();
      image.close();
    }
  }

  /** What the file and its meta-data are, without opening them; undefined: it is not quiet, or gone. */
  #keyOf(path: string): string | undefined {
    const reader = new StatusReader();
    if (reader.ofName(AT_FDCWD, path) < 0) return undefined;
    const changedMs = 1000 * (Math.max(reader.mtimeSeconds, reader.ctimeSeconds) + 1);
    if (this.#tools.clock.wallTimeMs() - changedMs < this.#plan.quietMs) return undefined;
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    const folder = `${path.slice(0, slash)}/${contentDirectory}`;
    const key = `${reader.inode} ${reader.size} ${reader.mtimeSeconds}.${reader.mtimeNanoseconds} ${reader.ctimeSeconds}.${reader.ctimeNanoseconds}`;
    return `${key} ${changeOf(folder, metaName(name))} ${changeOf(folder, packName(name))}`;
  }

  #failed(path: string, key: string, error: unknown): void {
    const { clock, log } = this.#tools;
    const code = error instanceof ViaductError ? error.code : undefined;
    // Another one does it, or it is not quiet after all.
    if (code === 'IMAGE_BUSY' || code === 'IMAGE_CHANGED') return;
    const isFull = code === 'DISK_FULL';
    this.#note(path, { key: isFull ? '' : key, notBeforeMs: isFull ? clock.now() + fullPauseMs : 0 });
    log.warn({ file: toText(path), code, error: String(error) }, 'an image could not be packed');
  }

  #note(path: string, seen: Seen): void {
    this.#seen.delete(path);
    this.#seen.set(path, seen);
    if (this.#seen.size > limits.keptImages) this.#seen.delete(this.#seen.keys().next().value ?? '');
  }

  /** A folder that cannot be read, or from which nothing can be removed, told once. */
  #tell(error: Error): void {
    const key = `folder ${error.message}`;
    if (this.#seen.has(key)) return;
    this.#note(key, { key: '', notBeforeMs: 0 });
    this.#tools.log.warn({ error: error.message }, 'a folder is not looked through, or not tidied');
  }
}

/** Of a file that may have no name, or may not be there. */
function changeOf(folder: string, name: string | undefined): string {
  if (name === undefined) return '-';
  try {
    const { ino, ctimeMs } = statSync(pathBuffer(`${folder}/${name}`));
    return `${ino}@${ctimeMs}`;
  } catch {
    return '-';
  }
}

/** Bytes are let through at the rate, on the average; a pause is ended by the signal. */
function paceOf(bytesPerSecond: number, { clock, signal }: KeeperTools): (bytes: number) => Promise<void> {
  let freeMs = clock.now();
  return async (bytes) => {
    const now = clock.now();
    const waitMs = freeMs - now;
    freeMs = Math.max(freeMs, now) + (1000 * bytes) / bytesPerSecond;
    if (waitMs > 0) await pause(clock, waitMs, signal);
  };
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.after(delayMs, end);
    signal.addEventListener('abort', end);
  });
}
