/** A case as a proof: each round in a process and a private network of its own. */
import { join } from 'node:path';
import type { Proof } from '../proof/proof.ts';
import { run } from '../support/programs.ts';

const limitMs = 600_000;

export function proofOf(name: 'restart' | 'killed', { claim, rounds }: Pick<Proof, 'claim' | 'rounds'>): Proof {
  return {
    ...{ claim, rounds },
    async run(round) {
      const said = await run(process.execPath, [join(import.meta.dirname, 'main.ts'), name, String(round)], limitMs);
      return JSON.parse(said.toString()) as Record<string, number>;
    },
  };
}
