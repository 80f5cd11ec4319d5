/** How busy the daemon's threads are: the main one, which has the API and the store, and the workers with the sessions' data. */
import type { Clock } from '../../base/mod.ts';
import { ThreadLoad, type WorkerPool } from '../../sessions/mod.ts';
import type { ThreadReport } from '../contract.ts';

export class ManagerThreads {
  readonly #pool: WorkerPool;
  readonly #load: ThreadLoad;

  constructor({ pool, clock }: { readonly pool: WorkerPool; readonly clock: Clock }) {
    this.#pool = pool;
    this.#load = new ThreadLoad(clock);
  }

  async report(): Promise<readonly ThreadReport[]> {
    const main = { name: 'main', sessions: 0, restarts: 0, ...this.#load.take() };
    const workers = await this.#pool.threads();
    return [main, ...workers.map(({ name, sessions, restarts, load }) => ({ name, sessions, restarts, ...load }))];
  }

  close(): void {
    this.#load.close();
  }
}
