/** Control sockets: who can open them, what they answer, and what becomes of those of dead processes. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { limits, silentLog, systemClock, ViaductError } from '../base/mod.ts';
import type { TaskProgress } from '../sessions/mod.ts';
import { KeptLog } from '../testing/mod.ts';
import {
  askBriefly,
  askProcesses,
  askTask,
  ControlServer,
  type ControlServerOptions,
  type ListedSession,
  type ProcessStatus,
  runtimeDirectory,
} from './mod.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'viaduct-control-'));
});
after(() => rmSync(directory, { recursive: true }));

const uid = process.getuid!();
const status: ProcessStatus = {
  pid: 7,
  version: '0',
  command: 'serve',
  startedAt: '',
  residentBytes: 1,
  mountPoint: undefined,
  sessions: [],
};

const nothing: ControlServerOptions['run'] = () => Promise.resolve({ outcome: 'done', problems: [] });

function start(pid: number, run = nothing): Promise<ControlServer> {
  const answer = () => Promise.resolve({ ...status, pid });
  return ControlServer.start({ directory, pid, uid, log: silentLog, status: answer, run });
}

function listen(path: string, serve: (socket: import('node:net').Socket) => void): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer(serve);
    server.listen(path, () => resolve(server));
  });
}

test('every process of the directory is asked, and the socket is its owner’s alone', async () => {
  const servers = [await start(101), await start(22)];
  assert.equal(statSync(servers[0]!.path).mode & 0o777, 0o600);
  const answers = await askProcesses({ directory, clock: systemClock });
  assert.deepEqual(
    answers.map((answer) => (answer.kind === 'answered' ? answer.status.pid : answer)),
    [22, 101],
  );
  for (const server of servers) await server.close();
  assert.equal(existsSync(servers[0]!.path), false);
  assert.deepEqual(await askProcesses({ directory, clock: systemClock }), []);
});

test('the socket of a dead process is recognised, removed and not reported', async () => {
  const path = join(directory, '33.sock');
  // Node removes the socket file on close; a killed process does not.
  const { spawnSync } = await import('node:child_process');
  const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', program], { timeout: 10_000 });
  assert.equal(existsSync(path), true);
  assert.deepEqual(await askProcesses({ directory, clock: systemClock }), []);
  assert.equal(existsSync(path), false);
});

test('a process with the same pid as a dead one takes over its socket', async () => {
  const path = join(directory, '44.sock');
  const { spawnSync } = await import('node:child_process');
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  const server = await start(44);
  assert.equal((await askProcesses({ directory, clock: systemClock })).length, 1);
  await server.close();
});

test('a process that does not answer is reported as silent within the deadline', async () => {
  const server = await listen(join(directory, '55.sock'), (socket) => socket.on('error', () => {}));
  const answers = await askProcesses({ directory, clock: systemClock, deadlineMs: 100 });
  assert.deepEqual(answers, [{ kind: 'silent', pid: 55, reason: 'no answer in time' }]);
  server.close();
});

test('an answer that is not a status is reported, not thrown', async () => {
  const server = await listen(join(directory, '66.sock'), (socket) => {
    socket.on('error', () => {});
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]');
  });
  const [answer] = await askProcesses({ directory, clock: systemClock });
  assert.equal(answer?.kind, 'silent');
  server.close();
});

test('a daemon with a thousand sessions says all of them, and who it is without asking any', async () => {
  const session: ListedSession = {
    ...{ id: 's-a', name: 'vm', kind: 'proxy', origin: `nfs://store/${'x'.repeat(6000)}`, writes: 'write-back' },
    ...{ state: 'waiting', place: undefined, restarts: 0, lastError: undefined, cache: undefined, data: undefined },
  };
  let asked = 0;
  const sessions = Array.from({ length: 1000 }, () => session);
  const server = await ControlServer.start({
    ...{ directory, pid: 88, uid, log: silentLog, run: nothing },
    status: async () => {
      asked++;
      return { ...status, pid: 88, command: 'daemon', sessions };
    },
    brief: () => ({
      pid: 88,
      version: '0',
      command: 'daemon',
      sessions: sessions.map(({ id, name }) => ({ id, name })),
    }),
  });
  const [brief] = await askBriefly({ directory, clock: systemClock });
  assert.ok(brief?.kind === 'answered');
  assert.deepEqual(
    [brief.status.sessions.length, brief.status.sessions[0], asked],
    [1000, { id: 's-a', name: 'vm' }, 0],
  );
  const [full] = await askProcesses({ directory, clock: systemClock });
  assert.ok(full?.kind === 'answered');
  assert.equal(full.status.sessions.length, 1000);
  await server.close();
});

test('a process that has one session is asked the same either way', async () => {
  const server = await start(99);
  const answers = await askBriefly({ directory, clock: systemClock });
  assert.deepEqual(answers, [{ kind: 'answered', status: { ...JSON.parse(JSON.stringify(status)), pid: 99 } }]);
  await server.close();
});

test('other paths and methods get an HTTP error', async () => {
  const server = await start(77);
  const codeOf = (path: string, method: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const asking = request({ socketPath: server.path, path, method, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asking.on('error', reject);
      asking.end();
    });
  assert.equal(await codeOf('/', 'GET'), 404);
  assert.equal(await codeOf('/status', 'POST'), 405);
  assert.equal(await codeOf('/status', 'GET'), 200);
  await server.close();
});

test('where the runtime directory is', () => {
  assert.equal(runtimeDirectory({ environment: { VIADUCT_RUNTIME_DIR: '/x' }, uid: 0 }), '/x');
  assert.equal(runtimeDirectory({ environment: { XDG_RUNTIME_DIR: '/run/user/0' }, uid: 0 }), '/run/viaduct');
  assert.equal(runtimeDirectory({ environment: { XDG_RUNTIME_DIR: '/run/user/5' }, uid: 5 }), '/run/user/5/viaduct');
  assert.equal(runtimeDirectory({ environment: {}, uid: 5 }), '/tmp/viaduct-5');
});

const progress: TaskProgress = {
  ...{ state: 'writing', totalBytes: 10, pendingBytes: 4, bytesPerSecond: 2, secondsLeft: 2 },
  problem: undefined,
};

test('a task is followed to its result, and what it was asked to do arrives as it was sent', async () => {
  const seen: unknown[] = [];
  const server = await start(88, async (task, onProgress) => {
    seen.push(task);
    onProgress(progress);
    onProgress({ ...progress, pendingBytes: 0 });
    return { outcome: 'conflict', problems: ['/a is in conflict'] };
  });
  const told: number[] = [];
  const task = { task: 'write-back', file: '/golden/dätei "1"' } as const;
  const options = { directory, pid: 88, clock: systemClock };
  const onProgress = ({ pendingBytes }: TaskProgress) => told.push(pendingBytes);
  const answer = await askTask({ task, wait: true }, { ...options, onProgress });
  assert.deepEqual(answer, { kind: 'result', result: { outcome: 'conflict', problems: ['/a is in conflict'] } });
  assert.deepEqual(told, [4, 0]);
  for (const other of [
    { task: 'flush' },
    { task: 'invalidate' },
    { task: 'clear-conflict', file: '/a' },
    { task: 'redirect', how: 'discard' },
    { task: 'redirect', how: 'commit' },
    { task: 'redirect', how: 'commit', takeOver: true },
  ] as const) {
    assert.equal((await askTask({ task: other, wait: true }, options)).kind, 'result');
    assert.deepEqual(seen.at(-1), other);
  }
  assert.deepEqual(seen[0], task);
  await server.close();
});

test('without waiting the answer is there when the task has begun', async () => {
  let finish = (): void => {};
  const server = await start(89, async (_task, onProgress) => {
    onProgress(progress);
    await new Promise<void>((resolve) => (finish = resolve));
    return { outcome: 'done', problems: [] };
  });
  const answer = await askTask(
    { task: { task: 'write-back' }, wait: false },
    { directory, pid: 89, clock: systemClock },
  );
  assert.equal(answer.kind, 'started');
  finish();
  await server.close();
});

test('a task that makes no sense is answered with its code; a process that is stuck is silent, one that ended has ended', async () => {
  const server = await start(90, (task) => {
    if (task.task === 'invalidate') return new Promise(() => {});
    return Promise.reject(new ViaductError('CONFIGURATION_INVALID', { cause: 'no such file', remedy: 'another' }));
  });
  const options = { directory, pid: 90, clock: systemClock, silenceMs: 100 };
  assert.deepEqual(await askTask({ task: { task: 'write-back', file: '/x' }, wait: true }, options), {
    kind: 'error',
    error: { code: 'CONFIGURATION_INVALID', cause: 'no such file', remedy: 'another' },
  });
  const asked = { task: { task: 'invalidate' }, wait: true } as const;
  assert.equal((await askTask(asked, options)).kind, 'silent');
  const waiting = askTask(asked, { ...options, silenceMs: 10_000 });
  await new Promise((next) => setTimeout(next, 20));
  await server.close();
  assert.equal((await waiting).kind, 'ended', 'it was asked when the process ended');
  assert.equal((await askTask(asked, options)).kind, 'ended', 'it had ended before it was asked');
});

test('a process that ends while a task tells how far it is has ended, and is not stuck', async () => {
  const server = await start(93, (_task, onProgress) => {
    onProgress(progress);
    return new Promise(() => {});
  });
  const began = Promise.withResolvers<void>();
  const options = { directory, pid: 93, clock: systemClock, onProgress: () => began.resolve() };
  const waiting = askTask({ task: { task: 'write-back' }, wait: true }, options);
  await began.promise;
  await server.close();
  assert.equal((await waiting).kind, 'ended');
});

test('a task is followed for as long as is wanted, and goes on after that', async () => {
  let isDone = false;
  let finish = (): void => {};
  const server = await start(92, async (_task, onProgress) => {
    onProgress(progress);
    await new Promise<void>((resolve) => (finish = resolve));
    isDone = true;
    return { outcome: 'done', problems: [] };
  });
  const options = { directory, pid: 92, clock: systemClock, followMs: 100 };
  assert.deepEqual(await askTask({ task: { task: 'write-back' }, wait: true }, options), {
    kind: 'late',
    progress: JSON.parse(JSON.stringify(progress)),
  });
  finish();
  await new Promise((next) => setTimeout(next, 10));
  assert.ok(isDone);
  await server.close();
});

test('bodies that are too long or not understood are refused, and nothing is done', async () => {
  let runs = 0;
  const server = await start(91, async () => {
    runs++;
    return { outcome: 'done', problems: [] };
  });
  const post = (path: string, body: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const asking = request({ socketPath: server.path, path, method: 'POST', agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asking.on('error', reject);
      asking.end(body);
    });
  assert.equal(await post('/writeback', 'x'), 400);
  assert.equal(await post('/writeback', '[]'), 400);
  assert.equal(await post('/writeback', '{"file":7}'), 400);
  assert.equal(await post('/writeback', '{"wait":"yes"}'), 400);
  assert.equal(await post('/conflicts/clear', '{}'), 400);
  assert.equal(await post('/warm', '{"file":"/a"}'), 400);
  assert.equal(await post('/warm', '{"what":"whole"}'), 400);
  assert.equal(await post('/writeback', `{"file":"${'a'.repeat(limits.controlBodyBytes)}"}`), 413);
  assert.equal(await post('/nothing', '{}'), 404);
  assert.equal(runs, 0);
  assert.equal(await post('/writeback', ''), 200);
  assert.equal(runs, 1);
  await server.close();
});

test('what lies in the place of a socket and cannot be removed is told', async () => {
  const path = join(directory, '909.sock');
  mkdirSync(path);
  const log = new KeptLog();
  const options = { directory, pid: 909, uid, status: () => Promise.resolve(status), run: nothing };
  await assert.rejects(
    ControlServer.start({ ...options, log }),
    (error) => error instanceof ViaductError && error.code === 'ADDRESS_IN_USE',
  );
  assert.deepEqual(
    log.lines.map(({ level, message }) => [level, message]),
    [['warn', 'the control socket could not be removed']],
  );
});
