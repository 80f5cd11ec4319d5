/**
 * Group commit of one file or directory: a sync that starts after a request covers it, so all requests that come while one sync
 * runs share the next.
 *
 *   idle --request--> running --request--> running, next waits --done--> running (the next) ...
 */
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
