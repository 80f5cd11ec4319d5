/**
 * What clients are shown of a file: one function from what the origin shows and the file's record (rule 6, "Presented times").
 *
 *     dirty                              size and times of the record, the rest of the origin
 *     clean, origin shows `base`         times of the record; a ctime that moved alone (chmod elsewhere) if it is later
 *     clean, reply older than that       as if still dirty: it may show the middle of our own write-back (a call that was under way, a
 *                                        cache below)
 *     clean, origin shows something else somebody else changed it: the origin's attributes, and the record is void
 *
 * Invariant: as long as nobody else changes the file, size and times move only by operations of our clients, and times only forward.
 */
import type { Clock } from '../../base/mod.ts';
import type { DirtyLogFace } from '../../dirty/mod.ts';
import { type Attributes, type FileHandle, timeEquals, type WccAttributes, type WccData } from '../../vfs/mod.ts';
import { isFrozen } from './file-record.ts';
import type { DirtyFile, DirtyFileTable } from './files.ts';
import { isLater, justAfter, latest, sameData, wccOf } from './times.ts';

interface WithAttributes {
  readonly status?: number;
  readonly attributes?: Attributes | undefined;
}

const blockBytes = 4096;
/** As long may caches below go on to show what was before our last change. */
const cachedMs = 60_000;

export class Presented {
  readonly #log: DirtyLogFace;
  readonly #files: DirtyFileTable;
  /** Redirect: nobody ever clears the set-id bits of what was written. */
  readonly #hidesSetId: boolean;
  readonly #clock: Clock;

  constructor(log: DirtyLogFace, files: DirtyFileTable, clock: Clock, hidesSetId: boolean) {
    this.#log = log;
    this.#files = files;
    this.#hidesSetId = hidesSetId;
    this.#clock = clock;
  }

  /** `issue`: the table's tick when the call was made whose reply shows these attributes. */
  reply<Reply extends WithAttributes>(handle: FileHandle, issue: number, reply: Reply): Reply {
    const file = this.#files.find(handle);
    if (file === undefined || reply.attributes === undefined) return reply;
    const attributes = this.attributes(file, issue, reply.attributes);
    return attributes === reply.attributes ? reply : { ...reply, attributes };
  }

  attributes(file: DirtyFile, issue: number, origin: Attributes): Attributes {
    // An origin's clock may be so coarse that its times do not tell which of two replies is older.
    const isOld = issue < file.settledTick;
    if (!isOld && (file.seen === undefined || !isLater(file.seen.ctime, origin.ctime))) file.seen = origin;
    const { record, shown } = file;
    if (this.#files.isDirty(file) && shown !== undefined) {
      const { base } = record;
      // A ctime that moved alone is somebody's chmod, unless our own write-back is in the middle of it.
      const isMoved = base !== undefined && record.intent === undefined && sameData(origin, base);
      if (isMoved && isLater(origin.ctime, base.ctime) && isLater(origin.ctime, shown.ctime)) {
        file.shown = { ...shown, ctime: origin.ctime };
        file.lastTime = latest(file.lastTime, origin.ctime);
        // The next process may not see it before its write-back hides it.
        this.#files.update(record.handle, { presented: file.shown });
      }
      return this.dirty(file, origin, file.shown ?? shown);
    }
    return this.#clean(file, issue, origin);
  }

  /** The attributes of a dirty file in the state `shown`. */
  dirty(file: DirtyFile, origin: Attributes, { size, mtime, ctime }: WccAttributes): Attributes {
    const dirtyBytes = this.#log.state(file.record.number)?.dirtyBytes ?? 0;
    const full = Math.ceil(size / blockBytes) * blockBytes;
    // Never 0 for a file with data: archivers would take it for one big hole.
    const used = Math.min(full, origin.used + dirtyBytes);
    const mode = this.#hidesSetId ? origin.mode & ~0o6000 : origin.mode;
    const atime = typeof file.record.times?.atime === 'object' ? file.record.times.atime : origin.atime;
    return { ...origin, mode, size, used, atime, mtime, ctime };
  }

  #clean(file: DirtyFile, issue: number, origin: Attributes): Attributes {
    const { base, presented } = file.record;
    if (base === undefined || presented === undefined || isFrozen(file.record)) return origin;
    if (sameData(origin, base)) {
      const { mtime } = presented;
      if (timeEquals(origin.ctime, base.ctime)) return { ...origin, mtime, ctime: presented.ctime };
      const ctime = latest(presented.ctime, origin.ctime);
      // Once shown it stays: a cache below may go on to tell the one before.
      if (isLater(origin.ctime, base.ctime)) {
        const moved = { base: { ...base, ctime: origin.ctime }, presented: { ...presented, ctime } };
        this.#files.update(file.record.handle, moved);
      }
      return { ...origin, mtime, ctime };
    }
    const isCached = isLater(base.ctime, origin.ctime) && this.#clock.now() - file.settledMs < cachedMs;
    if (isCached || issue < file.settledTick) return { ...origin, ...wccOf(presented) };
    this.#files.update(file.record.handle, { base: undefined, presented: undefined });
    file.shown = undefined;
    return origin;
  }

  /** What a client would be shown now, by what is known; undefined if that is not enough. */
  current(handle: FileHandle): Attributes | undefined {
    const file = this.#files.find(handle);
    return file?.seen === undefined ? undefined : this.attributes(file, this.#files.tick, file.seen);
  }

  /**
   * Our own call, made at `issue`, changed the file at the origin (chmod, a link, a write that went through): its wcc data, as to be
   * shown. `isExplicit`: the client chose the modification time, which may lie in the past.
   */
  changed(handle: FileHandle, issue: number, wcc: WccData, isExplicit = false): WccData {
    const file = this.#files.find(handle);
    if (file === undefined) return wcc;
    if (wcc.after === undefined) {
      file.seen = undefined;
      return wcc;
    }
    const { base, presented } = file.record;
    const before = file.shown ?? presented;
    // Who was overtaken by our write-back tells of the time before it, and of its own change.
    const isOld = issue < file.settledTick;
    const chains = base !== undefined && (isOld || wcc.before === undefined || sameData(wcc.before, base));
    if (chains && before !== undefined) {
      if (!sameData(wcc.after, base) && (isOld || this.#files.isDirty(file))) this.#touch(file, before, wcc.after);
      else this.#follow(file, base, before, wcc.after, isExplicit);
    }
    return { before: before ?? wcc.before, after: this.attributes(file, issue, wcc.after) };
  }

  /** A call that changed nothing. */
  unchanged(handle: FileHandle, issue: number, wcc: WccData): WccData {
    const file = this.#files.find(handle);
    if (file === undefined || wcc.after === undefined) return wcc;
    const after = this.attributes(file, issue, wcc.after);
    return { before: after === wcc.after ? wcc.before : wccOf(after), after };
  }

  /** Before the end of our write-back: what the origin shows says nothing about the base. */
  #touch(file: DirtyFile, before: WccAttributes, after: Attributes): void {
    const ctime = latest(justAfter(before.ctime), after.ctime);
    file.lastTime = latest(file.lastTime, ctime);
    file.shown = { ...before, ctime };
    this.#files.update(file.record.handle, { presented: file.shown });
  }

  #follow(file: DirtyFile, base: WccAttributes, before: WccAttributes, after: Attributes, isExplicit: boolean): void {
    const { handle } = file.record;
    const isDirty = this.#files.isDirty(file);
    const ctime = latest(justAfter(before.ctime), after.ctime);
    file.lastTime = latest(file.lastTime, ctime);
    const isTouched = !isDirty && !timeEquals(after.mtime, base.mtime);
    const touched = isExplicit ? after.mtime : latest(justAfter(before.mtime), after.mtime);
    const mtime = isTouched ? touched : before.mtime;
    file.shown = { size: isDirty ? before.size : after.size, mtime, ctime };
    this.#files.update(handle, { base: wccOf(after), presented: file.shown });
  }
}
