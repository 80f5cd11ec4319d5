/** Ten thousand simulated crashes: test/simulation/scenario.ts, another thousand or so in each round. */
import { runScenario } from '../simulation/scenario.ts';
import { Totals } from '../simulation/totals.ts';
import type { Proof } from './proof.ts';

const crashesPerRound = 1_000;
/** Rounds do not meet: no round needs so many seeds. */
const seedsPerRound = 100_000;

export const proof: Proof = {
  claim:
    'over 10,000 simulated crashes (kills and power losses that tear, lose and bring back old sectors, in every phase, also of recovery), ' +
    'link cuts, origin restarts and full and failing disks: no stable write is lost, every read is right, and the origin always shows a ' +
    'prefix of epochs and a part of the next one',
  rounds: 10,
  async run(round, say) {
    const totals = new Totals();
    const first = 1_000_000 + round * seedsPerRound;
    let seed = first;
    for (; totals.crashes < crashesPerRound; seed++) {
      try {
        totals.add(await runScenario(seed));
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
    }
    say(totals.line());
    const { runs, crashes, kills, originRestarts, answers, mutations } = totals;
    return { firstSeed: first, runs, crashes, kills, originRestarts, answers, mutations };
  },
};
