/** A case as a proof: each round in a process and a private network of its own. */
import { join } from 'node:path';
import type { Proof } from '../proof/proof.ts';
import { run } from '../support/programs.ts';
import { type CaseName, cases } from './cases.ts';
import type { Round } from './round.ts';

const limitMs = 330_000;

export function proofOf(name: CaseName): Proof {
  return {
    claim: cases[name].claim,
    rounds: 50,
    async run(round) {
      const said = await run(process.execPath, [join(import.meta.dirname, 'main.ts'), name, String(round)], limitMs);
      return JSON.parse(said.toString()) as Round;
    },
  };
}
