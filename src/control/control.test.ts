/** Status sockets: who can open them, what they answer, and what becomes of those of dead processes. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog, systemClock } from '../base/mod.ts';
import { askProcesses, type ProcessStatus, runtimeDirectory, StatusServer } from './mod.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'viaduct-control-'));
});
after(() => rmSync(directory, { recursive: true }));

const uid = process.getuid!();
const status: ProcessStatus = { pid: 7, version: '0', command: 'serve', startedAt: '', residentBytes: 1, sessions: [] };

function start(pid: number): Promise<StatusServer> {
  return StatusServer.start({ directory, pid, uid, log: silentLog, status: () => Promise.resolve({ ...status, pid }) });
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
