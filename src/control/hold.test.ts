import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog, ViaductError } from '../base/mod.ts';
import type { ErrorRecord, LeftBehind } from '../sessions/mod.ts';
import { ControlServer, type Hold, holdSession } from './mod.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'viaduct-hold-'));
});
after(() => rmSync(directory, { recursive: true }));

const place = { host: '127.0.0.1', port: 20049, portmapper: 'none' } as const;
const left: LeftBehind = {
  ...{ policy: 'write-back', directory: '/log', bytes: 4096, files: 1, conflicts: 0, lostTo: 'b' },
};

/** A session that tells of its end. */
function session() {
  const ended = Promise.withResolvers<ErrorRecord | undefined>();
  const closed = Promise.withResolvers<void>();
  const close = async (): Promise<LeftBehind> => {
    closed.resolve();
    return left;
  };
  return {
    end: ended.resolve,
    closed: closed.promise,
    held: { id: 's-a', name: 'a', origin: '/o', place, ended: ended.promise, close },
  };
}

async function server(hold: Hold): Promise<ControlServer> {
  const never = () => Promise.reject(new Error('not asked'));
  return ControlServer.start({
    directory,
    pid: 5,
    uid: process.getuid!(),
    log: silentLog,
    status: never,
    run: never,
    hold,
  });
}

test('a held session is told of, and is closed when it is given back; what is left is told', async () => {
  const { held, closed } = session();
  const asked: unknown[] = [];
  const control = await server(async (request) => {
    asked.push(request);
    return held;
  });
  const remote = await holdSession({ origin: '/o' }, { directory, pid: 5 });
  assert.ok('place' in remote);
  assert.deepEqual([remote.name, remote.place, remote.pid], ['a', place, process.pid]);
  assert.deepEqual(asked, [{ origin: '/o' }]);
  assert.deepEqual(await remote.close(), left);
  await closed;
  await control.close();
});

test('a held session is closed when the connection of whoever asked closes', async () => {
  const { held, closed } = session();
  const control = await server(async () => held);
  const killed = new AbortController();
  await holdSession({}, { directory, pid: 5, signal: killed.signal });
  killed.abort();
  await closed;
  await control.close();
});

test('whoever goes away while the session is made does not leave it behind', async () => {
  const { held, closed } = session();
  const begun = Promise.withResolvers<void>();
  const made = Promise.withResolvers<typeof held>();
  const control = await server(() => {
    begun.resolve();
    return made.promise;
  });
  const killed = new AbortController();
  const asking = holdSession({}, { directory, pid: 5, signal: killed.signal });
  await begun.promise;
  killed.abort();
  await assert.rejects(asking, { code: 'DAEMON_UNREACHABLE' });
  made.resolve(held);
  await closed;
  await control.close();
});

test('the end of the session, a refusal and an error reach whoever asked', async () => {
  const { held, end } = session();
  const answers: (() => ReturnType<Hold>)[] = [
    async () => held,
    async () => ({ refused: 'no such cache' }),
    () => Promise.reject(new ViaductError('ORIGIN_UNREACHABLE', { cause: 'it is away', remedy: 'wait' })),
  ];
  const control = await server(() => answers.shift()!());
  const remote = await holdSession({}, { directory, pid: 5 });
  assert.ok('ended' in remote);
  const error: ErrorRecord = { code: 'SESSION_FAILED', cause: 'it failed', remedy: 'look' };
  end(error);
  assert.deepEqual(await remote.ended, error);
  assert.deepEqual(await holdSession({}, { directory, pid: 5 }), { refused: 'no such cache' });
  await assert.rejects(holdSession({}, { directory, pid: 5 }), { code: 'ORIGIN_UNREACHABLE', message: 'it is away' });
  await control.close();
});

test('a daemon that goes away ends what is held', async () => {
  const { held } = session();
  const control = await server(async () => held);
  const remote = await holdSession({}, { directory, pid: 5 });
  assert.ok('ended' in remote);
  await control.close();
  assert.equal((await remote.ended)?.code, 'DAEMON_UNREACHABLE');
  await assert.rejects(holdSession({}, { directory, pid: 5 }), { code: 'DAEMON_UNREACHABLE' });
});
