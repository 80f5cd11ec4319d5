/** What `viaduct warm` is told while a file comes, and when it does not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../base/mod.ts';
import type { WorkingSets } from '../layers/mod.ts';
import { WantedBlocks } from '../layers/read-ahead/mod.ts';
import { MemoryFilesystem, SimulatedClock, settle } from '../testing/mod.ts';
import { credential, Status } from '../vfs/mod.ts';
import type { Paths } from './paths.ts';
import type { TaskProgress } from './tasks.ts';
import { SessionWarming } from './warming.ts';

const blocks = 100;

function begin() {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const call = { credential: credential(0, 0), peer: 'test', priority: 'demand' } as const;
  const made = memory.create(call, {
    where: { directory: memory.root, name: 'file' },
    how: { mode: 'guarded', set: {} },
  });
  assert.ok(made.status === 0 && made.object !== undefined);
  const handle = made.object;
  const wanted = new WantedBlocks();
  wanted.wantRest(blocks);
  const layer = {
    getattr: memory.getattr.bind(memory),
    warm: async () => ({ status: 0, wanted, blocks }),
  } as unknown as WorkingSets;
  const paths = { find: async () => ({ handle }) } as unknown as Paths;
  const parts = { layer, paths, credential: call.credential, clock, awaySinceMs: () => undefined };
  const told: TaskProgress[] = [];
  const result = new SessionWarming(parts).warm('/file', true, (progress) => told.push(progress));
  return { clock, wanted, told, result };
}

describe('a warming', () => {
  test('of a file that is gone midway ends with the reason', async () => {
    const { wanted, result } = begin();
    await settle();
    wanted.giveUp(Status.STALE);
    const { outcome, problems } = await result;
    assert.equal(outcome, 'incomplete');
    assert.match(
      problems.join(),
      /^\/file: some of it could not be fetched: it is not at the origin any more \(.*STALE\)$/,
    );
  });

  test('of which nothing comes for long says so, until something comes', async () => {
    const { clock, wanted, told, result } = begin();
    const view = { blockCount: blocks, known: () => false };
    await settle();
    for (let halves = 0; halves < 80; halves++) await clock.advance(500);
    assert.ok(told.slice(0, 50).every(({ problem }) => problem === undefined));
    assert.match(told.at(-1)?.problem ?? '', /nothing of it has come for 4\d s/);
    const run = wanted.take(view, 10);
    assert.ok(run !== undefined);
    wanted.done(run, 10 * limits.blockBytes);
    await clock.advance(1_000);
    assert.deepEqual([told.at(-1)?.problem, told.at(-1)?.pendingBytes], [undefined, 90 * limits.blockBytes]);
    wanted.giveUp();
    assert.equal((await result).outcome, 'closed');
  });
});
