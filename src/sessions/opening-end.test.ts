/** Sessions that are told to end while their origin does not answer: over at once, and nothing of them is in the way of the next life. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { eventually } from '../testing/mod.ts';
import { HostedSession } from './hosted-session.ts';
import type { WorkerReport } from './messages.ts';
import { OpeningEnded, refuseIfEnded, unlessEnded } from './opening-end.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import { WorkerPool } from './worker-pool.ts';
import { defaultDirty } from './write-policy.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };

interface Gate {
  readonly port: number;
  readonly connections: () => number;
  /** What came so far and what comes goes on to that port. */
  open(to: number): void;
}

/** An origin that takes connections and says nothing, until it is opened. */
async function gate(t: TestContext): Promise<Gate> {
  const opened = Promise.withResolvers<number>();
  const sockets: Socket[] = [];
  const keep = (socket: Socket): Socket => {
    sockets.push(socket);
    return socket.on('error', () => {});
  };
  let connections = 0;
  const server = createServer(async (socket) => {
    keep(socket).pause();
    connections++;
    const next = keep(connect(await opened.promise, '127.0.0.1'));
    socket.pipe(next).pipe(socket);
    socket.on('close', () => next.destroy());
    next.on('close', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, connections: () => connections, open: opened.resolve };
}

function scratchOf(t: TestContext): string {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-ending-'));
  for (const name of ['images', 'server', 'state']) mkdirSync(join(scratch, name));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  return scratch;
}

function planOf(scratch: string, { port }: Gate, change: Partial<SessionPlan> = {}): SessionPlan {
  const origin = `nfs://127.0.0.1:${port}/?mountport=${port}`;
  return servePlan({ origin, stateDirectory: join(scratch, 'state') }, { kind: 'proxy', ...change });
}

for (const how of ['closed', 'failed'] as const) {
  test(`one that is ${how} while its origin is silent is over before that answers`, async (t) => {
    const silent = await gate(t);
    const reports: WorkerReport[] = [];
    let isGone = false;
    const session = new HostedSession({
      ...{ number: 3, opening: { plan: planOf(scratchOf(t), silent), port: undefined, life: 1 }, isolates: true },
      attach: () => undefined,
      breakDown: (error) => assert.fail(String(error)),
      onGone: () => {
        isGone = true;
      },
      post: (report) => reports.push(report),
      ...{ clock: systemClock, random: systemRandom },
    });
    session.begin();
    await eventually(() => silent.connections() > 0, 'it asks its origin');
    if (how === 'closed') session.obey({ kind: 'close', session: 3 });
    else session.fail(new Error('boom'));
    await eventually(() => isGone, 'it is over');
    const kinds = reports.map(({ kind }) => kind).filter((kind) => kind !== 'log');
    assert.deepEqual(kinds, how === 'closed' ? ['closed'] : ['failed', 'closed']);
  });
}

test('one closed while it waited takes neither lease nor log nor port from the next one, in the same worker', async (t) => {
  const scratch = scratchOf(t);
  const pool = new WorkerPool({ ...tools, workers: 1 });
  t.after(() => pool.close());
  const images = servePlan({ origin: join(scratch, 'images'), stateDirectory: join(scratch, 'server') });
  const server = await (await pool.start(images)).ready;
  const slow = await gate(t);
  const free = await gate(t);
  const never = { writeBackAfterMs: 3_600_000, ageMs: 3_600_000 };
  const dirty = { ...defaultDirty, directory: join(scratch, 'log'), limitBytes: 64 * 1024 * 1024, ...never };
  const listen = { host: '127.0.0.2', port: free.port };
  const plan = planOf(scratch, slow, { writes: 'write-back', commit: 'local', listen, dirty });
  const first = await pool.start(plan);
  await eventually(() => slow.connections() > 0, 'it asks its origin');
  await first.close();
  const second = await pool.start(plan);
  slow.open(server.port);
  assert.equal((await second.ready).port, free.port);
  assert.equal(pool.status()[0]!.restarts, 0);
  await second.close();
});

test('what was opened too late is closed; what still goes on is told', async () => {
  const ending = new AbortController();
  const opening = Promise.withResolvers<string>();
  const closed: string[] = [];
  const opened = unlessEnded(opening.promise, ending.signal, (late) => closed.push(late));
  refuseIfEnded(ending.signal);
  ending.abort();
  assert.throws(() => refuseIfEnded(ending.signal), OpeningEnded);
  const ended: unknown = await opened.catch((error: unknown) => error);
  assert.ok(ended instanceof OpeningEnded);
  opening.resolve('origin');
  await ended.rest;
  assert.deepEqual(closed, ['origin']);
  const failing = unlessEnded(Promise.reject(new Error('refused')), ending.signal, () =>
    assert.fail('nothing is open'),
  );
  const failed: unknown = await failing.catch((error: unknown) => error);
  assert.ok(failed instanceof OpeningEnded);
  await failed.rest;
});
