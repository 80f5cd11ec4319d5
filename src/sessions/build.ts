/** From the description of a stack to the stack: opens the origin and puts the layers on it, in the worker's thread. */
import type { Clock, Log, Random } from '../base/mod.ts';
import type { CleanCache } from '../cache/mod.ts';
import {
  AccessCache,
  AttributeCache,
  BlockCache,
  defaultReadAhead,
  Identity,
  noReadAhead,
  Stability,
  Stats,
} from '../layers/mod.ts';
import { openOrigin, parseOrigin } from '../origins/mod.ts';
import type { Filesystem } from '../vfs/mod.ts';
import { ReadOnly } from './read-only.ts';
import type { LayerDescription, StackDescription } from './stack.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Present if the description has a block cache. */
  readonly cache: CleanCache | undefined;
}

export interface Stack {
  readonly top: Filesystem;
  /** Counters by layer. */
  stats(): Record<string, object>;
}

export async function buildStack(description: StackDescription, surroundings: Surroundings): Promise<Stack> {
  const { clock, log, random } = surroundings;
  const { text, stateDirectory, connections } = description.origin;
  let top = await openOrigin(parseOrigin(text), { stateDirectory, connections, clock, log, random });
  const counters: Record<string, () => object> = {};
  for (const layer of description.layers.toReversed()) {
    const built = buildLayer(layer, top, surroundings);
    top = built;
    if ('stats' in built && typeof built.stats === 'function') counters[layer.layer] = built.stats.bind(built);
    else if (built instanceof Stats) counters[layer.layer] = () => built.snapshot();
  }
  return {
    top,
    stats: () => Object.fromEntries(Object.entries(counters).map(([name, count]) => [name, count()])),
  };
}

function buildLayer(
  description: LayerDescription,
  next: Filesystem,
  { clock, log, random, cache }: Surroundings,
): Filesystem {
  switch (description.layer) {
    case 'identity':
      return new Identity(next, { options: { squash: description.squash } });
    case 'read-only':
      return new ReadOnly(next);
    case 'stats':
      return new Stats(next, { clock });
    case 'block-cache': {
      if (cache === undefined) throw new Error('the stack has a block cache and the session no cache');
      const { readAheadBytes } = description;
      const readAhead = readAheadBytes === 0 ? noReadAhead : { ...defaultReadAhead, mostBytes: readAheadBytes };
      return new BlockCache(next, { cache, clock, log, readAhead });
    }
    case 'access-cache':
      return new AccessCache(next, { clock });
    case 'attribute-cache':
      return new AttributeCache(next, { clock, options: description.times });
    case 'stability':
      return new Stability(next, { clock, log, random });
  }
}
