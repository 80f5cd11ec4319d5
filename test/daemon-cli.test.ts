/** The daemon as a user runs it: sessions by commands, commands whose sessions it has, reload, restart, what is said where there is none. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const viaduct = join(import.meta.dirname, '../bin/viaduct');
const running = new Set<ChildProcess>();
let scratch: string;
let images: string;
let file: string;

before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'viaduct-daemon-cli-'));
  images = join(scratch, 'images');
  file = join(scratch, 'viaduct.yaml');
  mkdirSync(images);
  writeFileSync(join(images, 'hello'), 'hello\n');
  writeFileSync(file, configuration('golden'));
});
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

function configuration(name: string): string {
  return `caches: { main: { directory: ${join(scratch, 'cache')}, size: 64M } }
policies: { build: { model: scratch, description: Nightly builds } }
sessions: { ${name}: { origin: ${images}, listen: '127.0.0.1:0', policy: golden } }\n`;
}

const env = (): NodeJS.ProcessEnv => ({
  ...process.env,
  VIADUCT_RUNTIME_DIR: join(scratch, 'run'),
  VIADUCT_STATE_DIR: join(scratch, 'state'),
});

function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(viaduct, args, { env: env(), timeout: 60_000 }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** What it prints as JSON, of a command that must succeed. */
async function said(...args: string[]) {
  const { code, stdout, stderr } = await run(...args, '--json');
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
}

async function start(...args: string[]) {
  const child = spawn(viaduct, [...args, '--json', '--log-level', 'info'], {
    env: env(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const log = { text: '' };
  child.stderr.on('data', (chunk) => (log.text += chunk));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const line = await Promise.race([once(child.stdout, 'data'), exited.then(() => undefined)]);
  assert.ok(line !== undefined, `${args.join(' ')}: ${log.text}`);
  const told = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(log.text)) await once(child.stderr, 'data');
  };
  const end = (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return exited.finally(() => running.delete(child));
  };
  return { child, ready: JSON.parse(String(line[0])), told, end };
}

const names = async (): Promise<string[]> =>
  (await said('session', 'list')).sessions.map(({ name }: { name: string }) => name).sort();

test('without a daemon, commands about it say how to start one, and policies are known', async () => {
  const { code, stderr } = await run('session', 'list');
  assert.equal(code, 1);
  assert.match(stderr, /DAEMON_UNREACHABLE: no daemon of this user runs[\s\S]*`viaduct daemon`/);
  assert.equal((await said('policy', 'show', 'build', '--config', file)).model, 'scratch');
  assert.match((await run('policy', 'show', 'goldn')).stderr, /did you mean "golden"/);
  assert.equal((await said('policy', 'explain', join(images, 'hello'), '--config', file)).file.policy, 'golden');
});

test('sessions are made, shown and closed by commands; others find them; a restart brings them back', async () => {
  const daemon = await start('daemon', '--config', file);
  assert.equal(daemon.ready.sessions, 1);
  const made = await said(
    'session',
    'create',
    images,
    '--name',
    'vm7',
    '--policy',
    'vm-disk',
    '--listen',
    '127.0.0.1:0',
  );
  assert.equal(made.state, 'running');
  assert.deepEqual(await names(), ['golden', 'vm7']);
  const shown = await run('session', 'show', 'vm7');
  assert.match(shown.stdout, /writes +write-back +model vm-disk/);
  assert.match((await run('session', 'show', 'vm8')).stderr, /did you mean "vm7"/);
  assert.equal((await said('session', 'writeback', 'vm7', '--wait')).result.outcome, 'done');
  assert.equal((await said('writeback', '--wait')).result.outcome, 'done');
  const status = await said('status');
  assert.equal(status.processes[0].command, 'daemon');
  assert.deepEqual(status.processes[0].sessions.map(({ name }: { name: string }) => name).sort(), ['golden', 'vm7']);
  const once = await said('top', '--once', '--interval', '100ms');
  assert.equal(once.sessions.length, 2);

  const again = await run('daemon', '--config', file);
  assert.equal(again.code, 1);
  assert.match(again.stderr, new RegExp(`DAEMON_RUNNING.*${daemon.ready.pid}`));

  writeFileSync(file, 'sesions: {}\n');
  daemon.child.kill('SIGHUP');
  await daemon.told(/the earlier one goes on/);
  writeFileSync(file, configuration('other'));
  daemon.child.kill('SIGHUP');
  await daemon.told(/was read again/);
  assert.ok((await names()).includes('other'));

  assert.equal(await daemon.end('SIGTERM'), 0);
  const next = await start('daemon', '--config', file);
  const { place } = await said('session', 'show', 'vm7');
  assert.deepEqual(place, made.place);
  assert.equal((await said('session', 'close', 'vm7')).name, 'vm7');
  assert.deepEqual(await names(), ['other']);
  assert.equal(await next.end('SIGTERM'), 0);
});

test('proxy and serve have their sessions made by the daemon, and these end with them, also by a kill', async () => {
  writeFileSync(file, configuration('other'));
  const daemon = await start('daemon', '--config', file);
  const proxyOf = (port: string, ...more: string[]) =>
    start('proxy', images, '--listen', `127.0.0.1:${port}`, '--cache', join(scratch, 'cache'), ...more);
  const proxy = await proxyOf('0');
  assert.equal(proxy.ready.daemon, daemon.ready.pid);
  assert.equal((await names()).length, 2);
  assert.equal(await proxy.end('SIGTERM'), 0);
  assert.deepEqual(await names(), ['other']);

  const killed = await start('serve', images, '--listen', '127.0.0.1:0', '--pack', 'off');
  assert.equal((await names()).length, 2);
  await killed.end('SIGKILL');
  for (let tries = 0; (await names()).length > 1 && tries < 20; tries++);
  assert.deepEqual(await names(), ['other']);

  // What a daemon cannot follow means alone.
  const own = ['--cache', join(scratch, 'cache2'), '--cache-size', '64M'];
  const alone = await start('proxy', images, '--listen', '127.0.0.1:0', ...own);
  assert.equal(alone.ready.daemon, undefined);
  assert.equal(await alone.end('SIGTERM'), 0);

  const orphan = await start('serve', images, '--listen', '127.0.0.1:0', '--pack', 'off');
  await daemon.end('SIGKILL');
  const [code] = await once(orphan.child, 'exit');
  assert.equal(code, 1, 'a command whose daemon is gone ends with an error');
});

/** Completes the last word of a line in bash, as readline would; the script asks the command for names. */
function inBash(line: string): string[] {
  const script = `
    source <("$1" completion bash)
    PATH=$(dirname "$1"):$PATH COMP_LINE=$2 COMP_POINT=\${#2}
    read -ra COMP_WORDS <<< "$2"
    [[ $2 == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
    _viaduct viaduct
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const said = execFileSync('bash', ['--norc', '-c', script, 'bash', viaduct, line], { env: env(), timeout: 60_000 });
  return said
    .toString()
    .split('\n')
    .filter((word) => word !== '');
}

test('bash completes names of sessions and policies that the daemon has; its page is told with the token', async () => {
  writeFileSync(file, configuration('golden-7'));
  const daemon = await start('daemon', '--config', file, '--api', '127.0.0.1:0');
  assert.deepEqual(inBash('viaduct warm --session gold'), ['golden-7']);
  assert.deepEqual(inBash('viaduct session show '), ['golden-7']);
  assert.deepEqual(inBash('viaduct session create store:/x --policy bu'), ['build']);
  assert.deepEqual(inBash('viaduct session create store:/x --policy vm-'), ['vm-disk', 'vm-memory']);

  const { url } = await said('session', 'page');
  const { origin, hash } = new URL(url);
  assert.equal(origin, daemon.ready.url);
  const authorization = `Bearer ${new URLSearchParams(hash.slice(1)).get('token')}`;
  assert.equal((await fetch(`${origin}/v1/sessions`, { headers: { authorization } })).status, 200);
  assert.equal((await fetch(`${origin}/v1/sessions`)).status, 401);
  assert.equal((await fetch(origin)).status, 200);
  assert.equal(await daemon.end('SIGTERM'), 0);
});
