/**
 * Group commit of one file or directory: a sync that starts after a request covers it, so all requests that come while one sync
 * runs share the next.
 *
 *   idle --request--> running --request--> running, next waits --done--> running (the next) ...
 */
import { fdatasync, fsync } from 'node:fs';
import { errnoOf } from './status.ts';

/** The disk, as far as syncs go: tests bring one that fails. */
export interface Disk {
  /** 0 or a negative errno; never rejects. */
  sync(fd: number, dataOnly: boolean): Promise<number>;
}

export const systemDisk: Disk = {
  sync(fd, dataOnly) {
    return new Promise((resolve) => {
      const done = (error: NodeJS.ErrnoException | null): void => resolve(errnoOf(error));
      if (dataOnly) fdatasync(fd, done);
      else fsync(fd, done);
    });
  },
};

export type SyncAction = (dataOnly: boolean) => Promise<number>;

export class SyncGroup {
  readonly #action: SyncAction;
  #running: Promise<number> | undefined;
  #next: Promise<number> | undefined;
  #nextDataOnly = true;

  constructor(action: SyncAction) {
    this.#action = action;
  }

  /** 0 or a negative errno of a sync that began after this call. */
  request(dataOnly: boolean): Promise<number> {
    if (this.#running === undefined) return this.#start(dataOnly);
    this.#nextDataOnly &&= dataOnly;
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const all = this.#nextDataOnly;
      this.#nextDataOnly = true;
      return this.#start(all);
    });
    return this.#next;
  }

  #start(dataOnly: boolean): Promise<number> {
    const running = this.#action(dataOnly).then((result) => {
      if (this.#running === running) this.#running = undefined;
      return result;
    });
    this.#running = running;
    return running;
  }
}
