/**
 * Changes of content on their way into the log: the one place that appends. Size and times are counted forward at the call,
 * in the order of the log, so that the wcc data of pipelined writes form a chain however their answers come.
 *
 *     clean --begin: base, owner, place noted--> dirty --write, resize--> dirty (shown moves with each change)
 */
import { type Eventual, isPromise } from '../../base/mod.ts';
import type { Appended } from '../../dirty/mod.ts';
import type * as vfs from '../../vfs/mod.ts';
import { Status, timeEquals } from '../../vfs/mod.ts';
import type { DirtyFile } from './files.ts';
import { samePlace } from './places.ts';
import { latest, sameData, timeAfter, wccOf } from './times.ts';
import { type Workings, withheld } from './workings.ts';

export interface Changed {
  /** `no-room`: nothing happened, and the log has no room for it. */
  readonly status: 0 | 'no-room' | typeof Status.IO;
  readonly wcc: vfs.WccData;
}

export class Changes {
  readonly #workings: Workings;
  readonly #appended: () => void;

  /** `appended` is called after each change. */
  constructor(workings: Workings, appended: () => void) {
    this.#workings = workings;
    this.#appended = appended;
  }

  /** Whether attributes that were asked for at `issue` can no longer tell the base: our write-back ended meanwhile. */
  isOvertaken(object: vfs.FileHandle, issue: number): boolean {
    const file = this.#workings.files.find(object);
    return file !== undefined && issue < file.settledTick && !this.#workings.files.isBusy(file);
  }

  /** The file is about to change: what the origin shows now is the base, if nothing is dirty yet. */
  begin(object: vfs.FileHandle, origin: vfs.Attributes): DirtyFile {
    const { files, places, presented } = this.#workings;
    const file = files.opened(object);
    if (files.isBusy(file)) {
      file.seen ??= origin;
      return file;
    }
    // Gives the record up if somebody else changed the file.
    const attributes = presented.attributes(file, files.tick, origin);
    const { base, owner } = file.record;
    const noted = file.record.place;
    const seen = places.of(object);
    // It may have been renamed while it was clean.
    const place = seen === undefined || samePlace(noted, seen) ? noted : seen;
    const path = (place && places.wholePath(place)) ?? (place === noted ? file.record.path : undefined);
    file.shown = wccOf(attributes);
    file.lastTime = [attributes.mtime, attributes.ctime, origin.mtime, origin.ctime].reduce(latest, file.lastTime);
    const isOwn = base !== undefined && file.record.presented !== undefined;
    // Older than what our write-back left (a cache below): the base is what that left.
    const found = isOwn && !sameData(base, origin) ? base : wccOf(origin);
    const isKnown =
      base !== undefined && sameData(base, found) && timeEquals(base.ctime, found.ctime) && noted === place;
    if (!isKnown || path !== file.record.path || owner?.uid !== origin.uid || owner.gid !== origin.gid) {
      files.update(object, {
        base: found,
        owner: { uid: origin.uid, gid: origin.gid },
        place,
        path,
      });
    }
    return file;
  }

  write(call: vfs.Call, file: DirtyFile, { offset, count, data }: vfs.WriteArguments): Eventual<Changed> {
    const before = file.shown!;
    const after = this.#move(file, Math.max(before.size, offset + count));
    return this.#appending(file, before, after, () =>
      this.#workings.log.write({ ...this.#change(call, file, after), offset, count, data }),
    );
  }

  /** The file is `size` long from now on; with the size that it has, only its times move. */
  resize(call: vfs.Call, file: DirtyFile, size: number): Eventual<Changed> {
    const before = file.shown!;
    const after = this.#move(file, size);
    return this.#appending(file, before, after, () => this.#workings.log.resize(this.#change(call, file, after)));
  }

  /** Times that a client chose: kept here, and told to the origin when the file is clean. `isMoved`: by a change of the same call. */
  setTimes(
    file: DirtyFile,
    { atime, mtime }: Pick<vfs.SetAttributes, 'atime' | 'mtime'>,
    isMoved: boolean,
  ): vfs.WccData {
    const { files } = this.#workings;
    const before = file.shown!;
    const ctime = isMoved ? before.ctime : timeAfter(file.lastTime, this.#workings.clock.wallTimeMs());
    const after = { size: before.size, mtime: typeof mtime === 'object' ? mtime : before.mtime, ctime };
    const times = { atime: atime ?? file.record.times?.atime, mtime: mtime ?? file.record.times?.mtime };
    file.shown = after;
    file.lastTime = latest(file.lastTime, ctime);
    files.update(file.record.handle, { times, presented: after });
    return this.#wcc(file, before, after);
  }

  #change(call: vfs.Call, file: DirtyFile, { size, mtime }: vfs.WccAttributes) {
    const writer = this.#workings.files.writer(call.credential);
    return { file: file.record.number, writer, sizeAfter: size, time: mtime };
  }

  #move(file: DirtyFile, size: number): vfs.WccAttributes {
    const time = timeAfter(file.lastTime, this.#workings.clock.wallTimeMs());
    if (file.shown?.size !== size) file.resizes++;
    file.lastTime = time;
    file.shown = { size, mtime: time, ctime: time };
    const { times, handle } = file.record;
    // The change moves mtime on from what a client chose.
    if (times?.mtime !== undefined) {
      this.#workings.files.update(handle, { times: times.atime === undefined ? undefined : { atime: times.atime } });
    }
    return file.shown;
  }

  #appending(
    file: DirtyFile,
    before: vfs.WccAttributes,
    after: vfs.WccAttributes,
    append: () => Eventual<Appended>,
  ): Eventual<Changed> {
    file.appending++;
    const appended = append();
    if (!isPromise(appended)) return this.#done(file, before, after, appended);
    return appended.then(
      (late) => this.#done(file, before, after, late),
      (error: unknown) => {
        if (this.#workings.lifetime.isClosed) return withheld<Changed>();
        this.#workings.logger.error({ error }, 'a change could not be appended to the dirty log');
        return this.#done(file, before, after, 'failed');
      },
    );
  }

  #done(file: DirtyFile, before: vfs.WccAttributes, after: vfs.WccAttributes, appended: Appended | 'failed'): Changed {
    file.appending--;
    if (appended === 'appended') {
      this.#appended();
      return { status: 0, wcc: this.#wcc(file, before, after) };
    }
    if (file.appending === 0) this.#refused(file);
    return { status: appended === 'failed' ? Status.IO : 'no-room', wcc: {} };
  }

  /** Nothing was changed; its times may have been shown already, and do not go back. */
  #refused(file: DirtyFile): void {
    const { files } = this.#workings;
    const { mtime, ctime } = file.shown!;
    files.reload(file);
    if (file.shown === undefined) return;
    file.shown = { ...file.shown, mtime: latest(file.shown.mtime, mtime), ctime: latest(file.shown.ctime, ctime) };
    files.update(file.record.handle, { presented: file.shown });
  }

  #wcc(file: DirtyFile, before: vfs.WccAttributes, after: vfs.WccAttributes): vfs.WccData {
    if (file.seen === undefined) return { before };
    return { before, after: this.#workings.presented.dirty(file, file.seen, after) };
  }
}
