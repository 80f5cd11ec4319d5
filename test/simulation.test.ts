/**
 * Write-back against a simulated world (test/simulation/scenario.ts): fixed seeds, those that once found a mistake, and some
 * random ones. A run is repeated by its seed: `VIADUCT_SIMULATION_SEED=N[,N...] node --test test/simulation.test.ts`; with
 * `VIADUCT_SIMULATION_TRACE=1` it tells what happens.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { runScenario, type ScenarioResult } from './simulation/scenario.ts';
import { Totals } from './simulation/totals.ts';

/** Those that once found a mistake come last. */
const fixedSeeds = [
  ...Array.from({ length: 60 }, (_, index) => index + 1),
  ...[21_422, 60_136, 70_024, 1_200_058, 1_700_115],
];
/** The proof (docs/proof/simulation.jsonl) tries a thousand; each run of this test others. */
const randomSeeds = 40;
/** On a busy machine fewer random seeds are tried, so that the whole stays below its time. */
const randomMs = 20_000;

const asked = process.env.VIADUCT_SIMULATION_SEED?.split(',').map(Number);
const isTraced = process.env.VIADUCT_SIMULATION_TRACE !== undefined;

async function run(seed: number): Promise<ScenarioResult> {
  const trace = isTraced ? (line: string) => process.stdout.write(`${line}\n`) : undefined;
  try {
    return await runScenario(seed, { trace });
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

test('what clients were promised holds over the fixed seeds', { skip: asked !== undefined }, async (context) => {
  const totals = new Totals();
  for (const seed of fixedSeeds) totals.add(await run(seed));
  context.diagnostic(totals.line());
  // The runs must go on doing what they are for.
  const { crashes, kills, lostChanges, originRestarts, answers } = totals;
  assert.ok(crashes > 400 && kills > 100, totals.line());
  assert.ok(lostChanges > 100 && originRestarts > 100 && answers > 3_000, totals.line());
});

test('and over random seeds', async (context) => {
  const totals = new Totals();
  const seeds = asked ?? Array.from({ length: randomSeeds }, () => randomInt(2 ** 31));
  const start = performance.now();
  for (const seed of seeds) {
    if (asked === undefined && performance.now() - start > randomMs) break;
    totals.add(await run(seed));
  }
  context.diagnostic(`seeds ${seeds.slice(0, totals.runs).join(' ')}`);
  context.diagnostic(totals.line());
});
