/** What many runs came to. */
import type { ScenarioResult } from './scenario.ts';

export class Totals {
  runs = 0;
  crashes = 0;
  kills = 0;
  answers = 0;
  lostChanges = 0;
  originRestarts = 0;
  mutations = 0;

  add(result: ScenarioResult): void {
    this.runs++;
    this.crashes += result.crashes;
    this.kills += result.kills;
    this.answers += result.answers;
    this.lostChanges += result.lostChanges;
    this.originRestarts += result.originRestarts;
    this.mutations += result.mutations;
  }

  line(): string {
    return (
      `${this.runs} runs, ${this.crashes} crashes (${this.kills} kills), ${this.originRestarts} restarts of the origin, ` +
      `${this.answers} answers and ${this.mutations} changes of the origin checked; ` +
      `${this.lostChanges} changes that nobody was promised were lost`
    );
  }
}
