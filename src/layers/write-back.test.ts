/** The write-back layer as a Filesystem, in each mode, and with new processes between cases. */
import { strict as assert } from 'node:assert';
import { seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { filesystemSuite, WriteBackFixture, type WriteBackFixtureOptions } from '../testing/mod.ts';
import type { Filesystem } from '../vfs/mod.ts';
import type { DrainContext, DrainFace } from './write-back/contract.ts';
import { Drain } from './write-back/drain.ts';

function drainAtOnce(context: DrainContext): DrainFace {
  const options = {
    writeBackAfterMs: 0,
    rateBytesPerSecond: undefined,
    isManual: false,
    conflictDirectory: undefined,
    hostName: 'host',
  };
  return new Drain(context, { clock: systemClock, logger: silentLog, random: seededRandom(3), options });
}

/** A new process takes a while. */
const every = 6;

function suite(name: string, options: WriteBackFixtureOptions, how?: 'close' | 'kill' | 'power'): void {
  const make = async () => {
    const fixture = await WriteBackFixture.open(options);
    let cases = 0;
    const filesystem = new Proxy({} as Filesystem, {
      get: (_, key: keyof Filesystem) => {
        const value = fixture.layer[key];
        if (typeof value !== 'function') return value;
        if (key !== 'mkdir' || how === undefined) return value.bind(fixture.layer);
        return async (...args: Parameters<Filesystem['mkdir']>) => {
          // Each case of the suite begins with a directory of its own in the root.
          if (args[1].where.directory === fixture.memory.root && cases++ % every === 0) await fixture.reopen(how);
          return fixture.layer.mkdir(...args);
        };
      },
    });
    return {
      filesystem,
      cleanup: async () => {
        await fixture.close();
        assert.equal(fixture.memory.unreleased, 0, 'READ replies of the base were not released');
      },
    };
  };
  filesystemSuite(name, make, { timeStepMs: 2, entries: 300 });
}

suite('write-back that nobody drains', {});
suite('write-back with an eager drain', { isEager: true });
suite('write-back with commit: origin', { commit: 'origin' });
suite('write-back with the drain at work all the time', { createDrain: drainAtOnce });
suite('write-back with the drain and commit: origin', { createDrain: drainAtOnce, commit: 'origin' });
suite('write-back closed and opened between cases', { isEager: true }, 'close');
suite('write-back killed between cases', {}, 'kill');
