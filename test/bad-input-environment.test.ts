/**
 * Commands started where they cannot work, or ended when it is inconvenient: ports that others hold, privileges that are missing,
 * arguments that make no sense, signals during the start, a standard output that nobody reads. Each failure is one message with
 * code, cause and remedy; nothing is left behind.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { findLauncher } from '../src/demo/mod.ts';
import { type Client, type Ended, handleOf, type Live, originOf, Place, readFile, within } from './bad-input/live.ts';
import { enterPrivateNetwork, isRealRoot } from './support/namespace.ts';

enterPrivateNetwork(import.meta.filename);

const place = new Place('bad-environment');
const exported = place.directory('exported');
/** A user without any privilege. */
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--no-new-privs'];

before(() => writeFileSync(place.at('exported/hello'), 'hello\n'));
after(() => place.remove());

function stateful(args: readonly string[], state = place.at('state')): string[] {
  return [...args, '--state-directory', state];
}

function assertExplained(ended: Ended, code: string, exit: number, ...patterns: RegExp[]): void {
  assert.match(ended.stderr, new RegExp(`^viaduct: ${code}: .+\\n {2}remedy: .+`, 'm'));
  for (const pattern of patterns) assert.match(ended.stderr, pattern);
  assert.equal(ended.code, exit, ended.stderr);
  assert.equal(ended.stdout, '');
  assert.deepEqual(readdirSync(place.at('run')), [], 'a socket was left behind');
}

async function holding<T>(host: string, port: number, work: () => Promise<T>): Promise<T> {
  const server: Server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  try {
    return await work();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('a port', () => {
  it('2049 that a program holds on all addresses is ADDRESS_IN_USE, and nothing is left listening', async () => {
    const args = stateful(['serve', exported, '--listen', '127.0.0.2']);
    await holding('0.0.0.0', 2049, async () => {
      assertExplained(await place.run(args), 'ADDRESS_IN_USE', 1, /127\.0\.0\.2:2049/);
    });
    const live = await place.serve(exported, '127.0.0.2');
    assert.equal(live.port, 2049);
    await live.command.end();
  });

  it('111 that is held by something that is no portmapper is ADDRESS_IN_USE, and 2049 is given back', async () => {
    await holding('0.0.0.0', 111, async () => {
      const ended = await place.run(stateful(['serve', exported, '--listen', '127.0.0.2']));
      assertExplained(ended, 'ADDRESS_IN_USE', 1, /127\.0\.0\.2:111.*not rpcbind/, /127\.0\.0\.2:2049/);
    });
    await holding('127.0.0.2', 2049, async () => undefined);
  });

  it('below 1024 is PRIVILEGE_NEEDED for an ordinary user, with the ways out', { skip: !isRealRoot() }, async () => {
    for (const path of [place.path, place.at('run'), exported]) chmodSync(path, 0o755);
    const state = place.directory('state-of-nobody');
    chownSync(state, 65_534, 65_534);
    const own = stateful(['serve', exported, '--listen', '127.0.0.2'], state);
    assertExplained(
      await place.run(own, nobody),
      'PRIVILEGE_NEEDED',
      1,
      /127\.0\.0\.2:111/,
      /ip_unprivileged_port_start/,
      /:2049/,
    );
    const low = stateful(['serve', exported, '--listen', '127.0.0.2:700'], state);
    assertExplained(await place.run(low, nobody), 'PRIVILEGE_NEEDED', 1, /127\.0\.0\.2:700/);
    // A port of 1024 or above works, with the rights of that user and no control socket in a directory of somebody else.
    const live = await place.ready(['serve', exported, '--listen', '127.0.0.1:0', '--state-directory', state], nobody);
    const client = await place.mount(live);
    assert.equal((await readFile(client, await handleOf(client, 'hello'))).toString(), 'hello\n');
    await client.close();
    assert.match(live.command.stderr, /no control socket/);
    assert.equal((await live.command.end()).code, 0);
  });
});

describe('arguments', () => {
  it('that make no sense are refused with exit code 2, and nothing is opened', async () => {
    const proxy = (origin: string, ...more: string[]): string[] =>
      stateful(['proxy', origin, '--listen', '127.0.0.1:0', '--cache', place.at('never'), ...more]);
    const cases: [string[], string][] = [
      [proxy('nfs://'), 'ORIGIN_INVALID'],
      [proxy('nfs:///x'), 'ORIGIN_INVALID'],
      [proxy('nfs:/server/x'), 'ORIGIN_INVALID'],
      [proxy('nfs://server'), 'ORIGIN_INVALID'],
      [proxy('nfs://server:0/x'), 'ORIGIN_INVALID'],
      [proxy('nfs://server:65536/x'), 'ORIGIN_INVALID'],
      [proxy('nfs://me@server/x'), 'ORIGIN_INVALID'],
      [proxy('nfs://server/x?mountport=no'), 'ORIGIN_INVALID'],
      [proxy('nfs://server/x?readahead=1'), 'ORIGIN_INVALID'],
      [proxy('nfs://server/%zz'), 'ORIGIN_INVALID'],
      [proxy('nfs://[::1/x'), 'ORIGIN_INVALID'],
      [proxy(''), 'ORIGIN_INVALID'],
      [proxy(exported, '--attribute-timeout', 'long'), 'CONFIGURATION_INVALID'],
      [proxy(exported, '--read-ahead', '-1'), 'CONFIGURATION_INVALID'],
      [proxy(exported, '--cache-size', '-5G'), 'CONFIGURATION_INVALID'],
      [proxy(exported, '--allow', '10.0.0.0/99'), 'ADDRESS_INVALID'],
      [stateful(['serve', exported, '--listen', '127.0.0.1:99999']), 'ADDRESS_INVALID'],
      [stateful(['serve', exported, '--listen', '']), 'ADDRESS_INVALID'],
      [stateful(['serve', place.at('nowhere')]), 'ORIGIN_INVALID'],
      [stateful(['serve', place.at('exported/hello')]), 'ORIGIN_INVALID'],
    ];
    const queue = [...cases];
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        assertExplained(await place.run(next[0]), next[1], 2);
    };
    await Promise.all([worker(), worker(), worker()]);
    assert.equal(existsSync(place.at('never')), false, 'a cache was made for a command that was refused');
  });

  it('that commander refuses name what is wrong, and exit with 2', async () => {
    const cases: [string[], RegExp][] = [
      [['serve'], /missing required argument/],
      [['serve', exported, 'more'], /too many arguments/],
      [['serve', exported, '--no-such-option'], /unknown option/],
      [['proxy', exported], /required option/],
      [['status', '--nonsense'], /unknown option/],
      [['cache'], /Usage: viaduct cache/],
      [['cache', 'stat'], /missing required argument/],
      [['cache', 'dance', exported], /unknown command/],
      [['doctor', '--directory'], /argument missing/],
      [['serve', exported, '--log-level', 'loud'], /Allowed choices/],
    ];
    for (const [args, pattern] of cases) {
      const ended = await place.run(args);
      assert.match(ended.stderr, pattern, args.join(' '));
      assert.equal(ended.code, 2, args.join(' '));
    }
  });

  it('that name an origin without its directory end at once, also for doctor', async () => {
    const ended = await within(20_000, 'doctor', place.run(['doctor', '--directory', place.at('nowhere')]));
    assert.ok(ended.code === 0 || ended.code === 3, ended.stderr);
    assert.doesNotMatch(ended.stderr + ended.stdout, /UNEXPECTED|TypeError/);
  });
});

describe('a signal', () => {
  it('at any moment of the start ends the command cleanly, and leaves no socket and no lock', async () => {
    const live = await place.serve(exported);
    const cache = place.at('cache');
    const proxy = stateful([
      'proxy',
      originOf(live),
      '--listen',
      '127.0.0.1:0',
      '--cache',
      cache,
      '--cache-size',
      '64M',
    ]);
    const serve = stateful(['serve', exported, '--listen', '127.0.0.3']);
    for (const [index, delayMs] of [60, 150, 250, 330, 420, 500, 600, 800].entries()) {
      const command = place.start(index % 2 === 0 ? proxy : serve);
      await sleep(delayMs);
      const { code, signal, stderr } = await within(
        5_000,
        'the end',
        command.end(index % 4 < 2 ? 'SIGINT' : 'SIGTERM'),
      );
      // Before Node runs our first line, the signal is the kernel's.
      assert.ok(code === 0 || (signal !== null && stderr === ''), `after ${delayMs} ms: ${code} ${signal} ${stderr}`);
      assert.deepEqual(readdirSync(place.at('run')), [`${live.command.pid}.sock`]);
    }
    const again = await place.proxy(live, cache);
    const client = await place.mount(again);
    assert.equal((await readFile(client, await handleOf(client, 'hello'))).toString(), 'hello\n');
    await client.close();
    assert.equal((await again.command.end()).code, 0);
    await live.command.end();
  });

  it('that comes while the origin does not answer the mount ends the start', async () => {
    const silent = createServer();
    const asked = once(silent, 'connection');
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as import('node:net').AddressInfo;
    const origin = originOf({ host: '127.0.0.1', port } as Live);
    const command = place.start(
      stateful(['proxy', origin, '--listen', '127.0.0.1:0', '--cache', place.at('cache-silent')]),
    );
    try {
      await within(20_000, 'the origin is asked', asked);
      const { code, stderr } = await within(5_000, 'the end of a start that hangs', command.end('SIGTERM'));
      assert.equal(code, 0, stderr);
    } finally {
      await command.end('SIGKILL');
      silent.close();
    }
  });
});

describe('the standard output', () => {
  it('that is closed does not stop a session, or make another command fail loudly', async () => {
    const shell = (script: string): Promise<Ended> => within(20_000, script, runShell(script));
    const quiet = await shell(`${findLauncher()} status | true; ${findLauncher()} --help | head -1 >/dev/null`);
    assert.doesNotMatch(quiet.stderr, /EPIPE|UNEXPECTED|throw/);
    const child: ChildProcess = spawn(findLauncher(), stateful(['serve', exported, '--listen', '127.0.0.1:20491']), {
      env: place.environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Nobody reads the ready line, or the log.
    child.stdout!.destroy();
    child.stderr!.destroy();
    const live = { host: '127.0.0.1', port: 20_491 } as Live;
    try {
      const client = await within(10_000, 'the session without readers', mountWhenReady(live));
      assert.equal((await readFile(client, await handleOf(client, 'hello'))).toString(), 'hello\n');
      await client.close();
    } finally {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      assert.equal(await within(5_000, 'the end', exited), 0);
    }
  });
});

function runShell(script: string): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', script], { env: place.environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text) => (stdout += text));
    child.stderr.on('data', (text) => (stderr += text));
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

async function mountWhenReady(live: Live): Promise<Client> {
  for (;;) {
    try {
      await holding('127.0.0.1', live.port, async () => undefined);
    } catch {
      return place.mount(live);
    }
    await sleep(100);
  }
}
