/**
 * A daemon that is killed at each step of creating and of closing a session. The next one finds every session whole or not at all: no row
 * without a session, no directory without a row, no change lost. The same file is the program that is killed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inParallel, silentLog, systemClock, systemRandom } from '../../base/mod.ts';
import { LogIndex } from '../../control/mod.ts';
import type { SessionView } from '../contract.ts';
import { clientOf, configuration, house, read, waiting, write } from './fixture.test.ts';
import { type Step, steps } from './ground.ts';
import { holdsChanges } from './logs.ts';
import { openManager } from './manager.ts';

const [, , role, scratch = '', fatal = ''] = process.argv;
if (role === 'victim') await perish(scratch, fatal);

async function perish(place: string, step: string): Promise<void> {
  let isArmed = step.startsWith('create:');
  const manager = await openManager({
    ...{ configuration: configuration(), stateDirectory: join(place, 'state') },
    ...{ clock: systemClock, log: silentLog, random: systemRandom },
    onStep: (reached) => {
      if (isArmed && reached === step) process.kill(process.pid, 'SIGKILL');
    },
  });
  const view = await manager.create({
    name: 'vm',
    origin: join(place, 'images'),
    listen: '127.0.0.1:0',
    settings: waiting,
  });
  await write(await clientOf(view), 0, 'MINE!');
  isArmed = true;
  await manager.close('vm', { changes: 'keep' });
  process.stdout.write('alive');
}

function kill(place: string, step: Step): Promise<void> {
  const self = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, [self, 'victim', place, step], { stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (signal === 'SIGKILL') resolve();
      else reject(new Error(`the program was not killed at ${step}: code ${code}`));
    });
  });
}

/** Steps behind which the session goes on; before and after them nothing is left of it, or one that is closed, whose log is noted. */
const goesOn: readonly Step[] = ['create:running', 'close:changes'];

async function killedAt(t: TestContext, step: Step): Promise<void> {
  const place = house(t);
  await kill(place.scratch, step);
  const manager = await place.open();
  await manager.settled;
  const sessions = manager.list();
  const hasWritten = step.startsWith('close:');
  if (goesOn.includes(step)) {
    assert.deepEqual(
      sessions.map(({ name, state }) => [name, state]),
      [['vm', 'running']],
      step,
    );
    const text = await read(await place.client(sessions[0] as SessionView), 0, 5);
    assert.equal(text, hasWritten ? 'MINE!' : 'image', step);
    assert.deepEqual(
      place.directories(),
      sessions.map(({ id }) => id),
      step,
    );
  } else {
    assert.deepEqual(
      sessions.map(({ state }) => state),
      hasWritten ? ['closed'] : [],
      step,
    );
    const directories = place.directories();
    assert.equal(directories.length, hasWritten ? 1 : 0, step);
    for (const id of directories) {
      const log = join(place.state, 'sessions', id, 'dirty');
      assert.ok(existsSync(log) && (await holdsChanges(log, { clock: systemClock })), `${step}: the change is lost`);
      assert.equal(new LogIndex(place.state).find(log)?.policy, 'write-back', step);
    }
  }
  await manager.stop();
}

if (role !== 'victim') {
  for (const kind of ['create', 'close'] as const)
    test(`killed at each step of ${kind}, it leaves a session or nothing, and every change`, {
      timeout: 120_000,
    }, async (t) => {
      await inParallel(
        steps.filter((step) => step.startsWith(kind)),
        4,
        (step) => killedAt(t, step),
      );
    });
}
