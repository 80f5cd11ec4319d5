/** What goes wrong around the proxy, by itself and for a while. Crashes are the machine's (machine.ts). */
import { sleep } from '../../src/base/mod.ts';
import type { Chance, SimulatedClock, SimulatedNetwork } from '../../src/testing/mod.ts';
import type { Machine } from './machine.ts';
import type { ScenarioPlan } from './plan.ts';

const mostTimes = 25;

export class Faults {
  count = 0;
  readonly #clock: SimulatedClock;
  readonly #chance: Chance;
  #isOver = false;

  constructor(clock: SimulatedClock, chance: Chance) {
    this.#clock = clock;
    this.#chance = chance;
  }

  begin(plan: ScenarioPlan, machine: Machine, network: SimulatedNetwork): void {
    const every = (meanMs: number | undefined, fault: () => Promise<void> | void): void => {
      if (meanMs !== undefined) void this.#repeat(meanMs, fault);
    };
    every(plan.cutEveryMs, async () => {
      network.cut();
      await this.#sleep(this.#chance.pick([1, 50, 1_000, 10_000]) * this.#chance.share());
      network.restore();
    });
    every(plan.restartEveryMs, () => network.restartOrigin(this.#chance.happens(0.3)));
    every(plan.fullEveryMs, async () => {
      machine.disk.capacityBytes = machine.disk.usedBytes + this.#chance.below(64 * 1024);
      await this.#sleep(1_000 * this.#chance.share());
      machine.disk.capacityBytes = Number.POSITIVE_INFINITY;
    });
    every(plan.failedSyncEveryMs, () => machine.disk.fail('datasync', this.#chance.pick([1, 1, 2])));
    every(plan.failedWriteEveryMs, () => machine.disk.fail('write'));
  }

  /** Everything works from now on. */
  end(machine: Machine, network: SimulatedNetwork): void {
    this.#isOver = true;
    network.restore();
    machine.disk.heal();
    machine.disk.capacityBytes = Number.POSITIVE_INFINITY;
  }

  async #repeat(meanMs: number, fault: () => Promise<void> | void): Promise<void> {
    // Ends by itself: faults that come faster than anything can be done would hold everything up for ever.
    for (let times = 0; times < mostTimes; times++) {
      await this.#sleep(2 * meanMs * this.#chance.share());
      if (this.#isOver) return;
      this.count++;
      await fault();
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return sleep(this.#clock, delayMs);
  }
}
