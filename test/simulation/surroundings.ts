/** What one process of the proxy runs on. */
import type { Clock, Random } from '../../src/base/mod.ts';
import type { LogDirectory } from '../../src/dirty/mod.ts';
import type { SimulatedConnection } from '../../src/testing/mod.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly directory: LogDirectory;
  readonly connection: SimulatedConnection;
  readonly bootId: string;
}
