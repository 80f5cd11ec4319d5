/** Commands that wait for a session, as a shell runs them: ^C, a session that ends, files that fail, a reader that goes away. */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { askProcesses, ControlServer, type ControlServerOptions } from '../control/mod.ts';
import type { SessionStatus, TaskProgress } from '../sessions/mod.ts';

let scratch: string;
let env: NodeJS.ProcessEnv;
before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'viaduct-waiting-'));
  env = { ...process.env, VIADUCT_RUNTIME_DIR: scratch, VIADUCT_STATE_DIR: join(scratch, 'state') };
});
after(() => rmSync(scratch, { recursive: true, force: true }));

const program = [process.execPath, '--no-warnings', join(import.meta.dirname, 'main.ts')] as const;
const progress: TaskProgress = {
  ...{ state: 'fetching', totalBytes: 1000, pendingBytes: 400, bytesPerSecond: 2, secondsLeft: 200 },
  problem: undefined,
};
const session: SessionStatus = {
  ...{ kind: 'proxy', origin: 'nfs://x/', writes: 'write-back', state: 'running', place: undefined, restarts: 0 },
  ...{ lastError: undefined, data: undefined },
  cache: { directory: '/c', sizeBytes: 1, validBytes: 0, hits: 0, misses: 0 } as SessionStatus['cache'],
};

/** A session of this process. */
function sessionThat(run: ControlServerOptions['run']): Promise<ControlServer> {
  const { pid } = process;
  const status = { pid, version: '', command: 'proxy', startedAt: '', residentBytes: 1, mountPoint: undefined };
  return ControlServer.start({
    ...{ directory: scratch, pid, uid: process.getuid!(), log: silentLog, run },
    status: () => Promise.resolve({ ...status, sessions: [session] }),
  });
}

/** Tells how far it is, again and again, and is done when it is told so. */
class Endless {
  isDone = false;
  readonly began = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<void>();
  readonly run: ControlServerOptions['run'] = async (_task, onProgress) => {
    const telling = setInterval(() => onProgress(progress), 20);
    onProgress(progress);
    this.began.resolve();
    await this.#end.promise;
    clearInterval(telling);
    this.isDone = true;
    return { outcome: 'done', problems: [] };
  };
  async end(): Promise<void> {
    this.#end.resolve();
    await new Promise((next) => setTimeout(next, 5));
    assert.ok(this.isDone);
  }
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function viaduct(...args: string[]): {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
} {
  const child = spawn(program[0], [...program.slice(1), ...args], { env, timeout: 20_000 });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  return { child, ended: once(child, 'close').then(([code]) => ({ code, out, err })) };
}

test('^C on a terminal leaves it as it was, says that the work goes on, and ends with the code of the signal', async () => {
  for (const command of [
    ['warm', '/a', '--wait'],
    ['writeback', '--wait'],
  ]) {
    const endless = new Endless();
    const server = await sessionThat(endless.run);
    const line = [...program, ...command].map((word) => `'${word}'`).join(' ');
    const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], { env, timeout: 20_000 });
    let out = '';
    let isSent = false;
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      if (isSent || !out.includes('%')) return;
      isSent = true;
      child.stdin.write('\x03');
    });
    const [code] = await once(child, 'close');
    assert.match(out, /\[\?25l.*\[\?7l/s, 'a bar was drawn');
    assert.match(out, /\[\?25h.*\[\?7h.*it goes on in process \d+/s);
    assert.equal(code, 130);
    await endless.end();
    await server.close();
  }
});

test('a signal without a terminal is answered in the same way', async () => {
  const endless = new Endless();
  const server = await sessionThat(endless.run);
  const { child, ended } = viaduct('writeback', '--wait');
  await endless.began.promise;
  await once(child.stderr, 'data');
  child.kill('SIGTERM');
  const { code, err } = await ended;
  assert.equal(code, 143);
  assert.match(err, /not waited for any more; it goes on/);
  await endless.end();
  await server.close();
});

test('a session that ends meanwhile does not go on, and is not said to', async () => {
  for (const json of [false, true]) {
    const endless = new Endless();
    const server = await sessionThat(endless.run);
    const { ended } = viaduct('warm', '/a', '--wait', ...(json ? ['--json'] : []));
    await endless.began.promise;
    await server.close();
    const { code, out, err } = await ended;
    assert.equal(code, 1);
    if (json) assert.equal(JSON.parse(out.trim().split('\n').at(-1)!).result.outcome, 'closed');
    else assert.match(err, /SESSION_NOT_FOUND: .*process \d+.* has ended/);
    await endless.end();
  }
});

test('of several files one that fails does not keep the others, lines tell which file, and the worst exit code counts', async () => {
  const asked: string[] = [];
  const server = await sessionThat(async (task, onProgress) => {
    assert.ok(task.task === 'warm');
    asked.push(task.file);
    if (task.file === '/none') throw new ViaductError('CONFIGURATION_INVALID', { cause: 'no such file', remedy: '' });
    onProgress(progress);
    if (task.file === '/part') return { outcome: 'incomplete', problems: ['some'] };
    return { outcome: 'done', problems: [] };
  });
  const text = await viaduct('warm', '/none', '/part', '/a', '--wait').ended;
  assert.deepEqual(asked.splice(0), ['/none', '/part', '/a']);
  assert.equal(text.code, 1);
  assert.match(text.err, /CONFIGURATION_INVALID: \/none: no such file/);
  assert.match(text.err, /FETCH_INCOMPLETE: .*some/);
  assert.match(text.out, /all of \/a was fetched/);
  const lines = await viaduct('warm', '/none', '/a', '--wait', '--json').ended;
  assert.equal(lines.code, 2);
  const said = lines.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    said.map(({ file, kind, error }) => [file, kind ?? error.code]),
    [
      ['/none', 'CONFIGURATION_INVALID'],
      ['/a', 'progress'],
      ['/a', 'result'],
    ],
  );
  await server.close();
});

test('when nobody reads what a command prints any more, it ends without a word', async () => {
  const endless = new Endless();
  const server = await sessionThat(endless.run);
  const { child, ended } = viaduct('warm', '/a', '--wait', '--json');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const { code, err } = await ended;
  assert.deepEqual([code, err], [141, '']);
  await endless.end();
  await server.close();
});

test('a session goes on when nobody reads what it prints any more', async () => {
  const args = ['serve', scratch, '--listen', '127.0.0.1:0', '--log-level', 'debug', '--state-directory', scratch];
  const child = spawn(program[0], [...program.slice(1), ...args], { env, timeout: 20_000 });
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  child.stderr.destroy();
  const [answer] = await askProcesses({ directory: scratch, clock: systemClock });
  assert.equal(answer?.kind, 'answered');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
});
