/** The compliance suite over each layer, and over the whole stack with a checker between every two layers. */
import { strict as assert } from 'node:assert';
import { type Clock, seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { DelayLayer, filesystemSuite, MemoryFilesystem, type Subject } from '../testing/mod.ts';
import type { Filesystem } from '../vfs/mod.ts';
import { AccessCache } from './access-cache.ts';
import { AttributeCache } from './attribute-cache.ts';
import { Checker } from './checker.ts';
import { Identity } from './identity.ts';
import { Stability } from './stability.ts';
import { Stats } from './stats.ts';

const clock: Clock = systemClock;
const context = { clock, log: silentLog, random: seededRandom(1) };

/** In a macrotask: what a connection does to the order of replies. */
const soon: Clock = {
  now: clock.now,
  wallTimeMs: clock.wallTimeMs,
  after(_delayMs, action) {
    const immediate = setImmediate(action);
    return { cancel: () => clearImmediate(immediate) };
  },
};

const layers: Record<string, (next: Filesystem) => Filesystem> = {
  Identity: (next) => new Identity(next),
  'Identity with maps': (next) =>
    new Identity(next, { options: { uids: [{ caller: 1000, origin: 5000, count: 500 }], gids: [] } }),
  Stats: (next) => new Stats(next, { clock }),
  AccessCache: (next) => new AccessCache(next, { clock }),
  AttributeCache: (next) => new AttributeCache(next, { clock }),
  'AttributeCache with room for 3 files': (next) =>
    new AttributeCache(next, { clock, options: { entries: 3, names: 3 } }),
  Stability: (next) => new Stability(next, context),
  'Stability with little room': (next) =>
    new Stability(next, { ...context, options: { unstableBytes: 1024 * 1024 + 512 } }),
};

for (const [name, layer] of Object.entries(layers)) {
  filesystemSuite(`${name} over memory`, async () => subject((memory) => checked(layer(checked(memory)))));
}
filesystemSuite('the stack of layers over memory', async () => subject(stack));
filesystemSuite('the stack of layers over a memory that answers late', async () =>
  subject((memory) => stack(new DelayLayer(memory, { clock: soon, roundTripMs: () => 0 }))),
);

function stack(origin: Filesystem): Filesystem {
  let top = checked(origin);
  for (const name of ['Stability', 'AttributeCache', 'AccessCache', 'Stats', 'Identity']) {
    top = checked(layers[name]!(top));
  }
  return top;
}

function checked(next: Filesystem): Filesystem {
  return new Checker(next, { name: 'test', clock, log: silentLog, strict: true });
}

async function subject(make: (memory: Filesystem) => Filesystem): Promise<Subject> {
  const memory = new MemoryFilesystem({ volatile: true, poisonReleased: true });
  const filesystem = make(memory);
  return {
    filesystem,
    async cleanup() {
      await filesystem.close();
      assert.equal(memory.unreleased, 0);
    },
  };
}
