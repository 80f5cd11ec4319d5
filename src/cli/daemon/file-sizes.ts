/**
 * How large files of this host are, where somebody asks about a path. A look at a dead mount never ends and holds a thread of the few that a
 * process has for all its files: so one look is under way at a time, and once it is late nobody waits for it or begins another until it ends.
 */
import { stat } from 'node:fs/promises';
import { type Clock, systemClock } from '../../base/mod.ts';

const patienceMs = 2_000;

/** Undefined: it is no file. */
type Look = (path: string) => Promise<number | undefined>;

export class FileSizes {
  readonly #clock: Clock;
  readonly #look: Look;
  /** Settles with the last look that was begun. */
  #underWay: Promise<unknown> = Promise.resolve();
  #isStuck = false;

  constructor({ clock = systemClock, look = lookAt }: { readonly clock?: Clock; readonly look?: Look } = {}) {
    this.#clock = clock;
    this.#look = look;
  }

  /** Undefined: it is no file, none of this host, or nobody could say in time. */
  async of(path: string): Promise<number | undefined> {
    if (!/^\.{0,2}\//.test(path)) return undefined;
    if (this.#isStuck) return undefined;
    const late = Promise.withResolvers<undefined>();
    let isLate = false;
    const timer = this.#clock.after(patienceMs, () => {
      isLate = true;
      this.#isStuck = true;
      late.resolve(undefined);
    });
    const looked = this.#underWay
      .then(() => (isLate ? undefined : this.#look(path)))
      .finally(() => {
        this.#isStuck = false;
      });
    this.#underWay = looked;
    return await Promise.race([looked, late.promise]).finally(() => timer.cancel());
  }
}

function lookAt(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
}
