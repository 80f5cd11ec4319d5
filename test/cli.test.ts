/** The commands as a user runs them: ready lines, real clients (libnfs, qemu-img), signals, exit codes, bad input. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const root = join(import.meta.dirname, '..');
const viaduct = join(root, 'bin/viaduct');
let scratch: string;
let images: string;
const content = randomBytes(3_000_000);
const running = new Set<ChildProcess>();

before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'viaduct-cli-'));
  images = join(scratch, 'images');
  mkdirSync(join(images, 'golden'), { recursive: true });
  writeFileSync(join(images, 'golden/disk.raw'), content);
  writeFileSync(join(images, 'hello'), 'hello\n');
});
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  VIADUCT_RUNTIME_DIR: join(scratch, 'run'),
  VIADUCT_STATE_DIR: join(scratch, 'state-base'),
});

interface Done {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

function run(
  program: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; limitMs?: number } = {},
): Promise<Done> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      args,
      {
        cwd: options.cwd,
        env: options.env ?? environment(),
        timeout: options.limitMs ?? 30_000,
        maxBuffer: 64 << 20,
        encoding: 'buffer',
      },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr: stderr.toString() }),
    );
  });
}

interface Started {
  readonly child: ChildProcess;
  readonly ready: { host: string; port: number; url: string; portmapper: string };
  readonly lines: () => string[];
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts a long-running command and waits for its ready line. */
function start(...args: string[]): Promise<Started> {
  const child = spawn(viaduct, [...args, '--json', '--state-directory', join(scratch, 'state')], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let stdout = '';
  let stderr = '';
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  void exited.then(() => running.delete(child));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (!stdout.includes('\n')) return;
      const end = (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
        child.kill(signal);
        return exited;
      };
      resolve({ child, ready: JSON.parse(stdout.split('\n')[0]!), lines: () => stdout.trimEnd().split('\n'), end });
    });
    void exited.then((code) => reject(new Error(`viaduct ${args.join(' ')} ended with ${code}: ${stdout}${stderr}`)));
  });
}

/** Four at a time: most of a short command's life is waiting. */
async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
}

const query = (port: number): string => `?nfsport=${port}&mountport=${port}`;

test('serve, then proxy: real clients read and write through both, cold, warm and after a restart', async () => {
  const serve = await start('serve', images, '--listen', '127.0.0.1:0');
  assert.equal(serve.ready.portmapper, 'none');
  const proxyArgs = [
    `nfs://127.0.0.1:${serve.ready.port}/?mountport=${serve.ready.port}`,
    '--listen',
    '127.0.0.1:0',
    '--cache',
    join(scratch, 'cache'),
    '--cache-size',
    '64M',
  ];
  let proxy = await start('proxy', ...proxyArgs);
  const file = (port: number): string => `nfs://127.0.0.1/golden/disk.raw${query(port)}`;
  const listing = await run('nfs-ls', [`nfs://127.0.0.1/golden${query(proxy.ready.port)}`]);
  assert.match(listing.stdout.toString(), /3000000 disk\.raw/);
  for (let i = 0; i < 2; i++) {
    const read = await run('nfs-cat', [file(proxy.ready.port)]);
    assert.equal(read.code, 0, read.stderr);
    assert.ok(read.stdout.equals(content));
  }
  assert.equal(await proxy.end(), 0);
  proxy = await start('proxy', ...proxyArgs);
  const warm = await run('nfs-cat', [file(proxy.ready.port)]);
  assert.ok(warm.stdout.equals(content));
  const status = JSON.parse((await run(viaduct, ['status', '--json'])).stdout.toString());
  const session = status.processes.find((process: { pid: number }) => process.pid === proxy.child.pid).sessions[0];
  assert.equal(session.state, 'running');
  assert.ok(
    session.cache.hitBytes >= content.length,
    `served from the cache after a restart: ${JSON.stringify(session.cache)}`,
  );
  assert.equal(session.cache.fills, 0);

  const copy = await run('nfs-cp', [join(root, 'LICENSE'), `nfs://127.0.0.1/golden/copy${query(proxy.ready.port)}`]);
  assert.equal(copy.code, 0, copy.stderr);
  assert.ok(readFileSync(join(images, 'golden/copy')).equals(readFileSync(join(root, 'LICENSE'))));
  assert.deepEqual(proxy.lines().length, 1);
  const stat = JSON.parse((await run(viaduct, ['cache', 'stat', join(scratch, 'cache'), '--json'])).stdout.toString());
  assert.equal(stat.holder, proxy.child.pid);
  const used = await run(viaduct, ['cache', 'verify', join(scratch, 'cache')]);
  assert.equal(used.code, 1);
  assert.match(used.stderr, /CACHE_IN_USE/);
  assert.equal(await proxy.end('SIGINT'), 0);
  assert.equal(await serve.end(), 0);
  const verified = await run(viaduct, ['cache', 'verify', join(scratch, 'cache'), '--json']);
  assert.equal(verified.code, 0, verified.stderr);
  assert.equal(JSON.parse(verified.stdout.toString()).badSectors, 0);
  assert.deepEqual(readdirSync(join(scratch, 'run')), []);
});

test('write-back: status says what waits, writeback brings it, signals do too, and the end says what is left', async () => {
  const serve = await start('serve', images, '--listen', '127.0.0.1:0');
  const origin = `nfs://127.0.0.1:${serve.ready.port}/?mountport=${serve.ready.port}`;
  const log = join(scratch, 'dirty');
  const listen = ['--listen', '127.0.0.1:0', '--cache', join(scratch, 'cache-wb'), '--cache-size', '64M'];
  const writing = [...listen, '--policy', 'write-back', '--dirty-log', log, '--write-back-after', '1h'];
  let proxy = await start('proxy', origin, ...writing);
  const put = async (name: string, bytes: Buffer): Promise<void> => {
    writeFileSync(join(scratch, name), bytes);
    const url = `nfs://127.0.0.1//${name}${query(proxy.ready.port)}`;
    const copied = await run('nfs-cp', [join(scratch, name), url]);
    assert.equal(copied.code, 0, copied.stderr);
  };
  const atOrigin = (name: string): Buffer => readFileSync(join(images, name));
  const statusText = async (): Promise<string> => (await run(viaduct, ['status'])).stdout.toString();
  const first = randomBytes(3_000_000);
  await put('first', first);
  assert.equal(atOrigin('first').length, 0);
  assert.match(await statusText(), /^2\.9 MiB of 1 file is not at the origin yet, oldest \d+ s, .*\n/);
  assert.match(await statusText(), /file +\/first: 2\.9 MiB/);
  const all = await run(viaduct, ['writeback', '--wait', '--json']);
  assert.equal(all.code, 0, all.stderr);
  const lines = all.stdout
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(lines[0].kind, 'progress');
  assert.deepEqual(lines.at(-1), { kind: 'result', result: { outcome: 'done', problems: [] } });
  assert.ok(atOrigin('first').equals(first));
  assert.match(await statusText(), /^everything is at the origin\n/);

  const pid = String(proxy.child.pid);
  const second = randomBytes(500_000);
  await put('second', second);
  const begun = await run(viaduct, ['writeback', '--pid', pid]);
  assert.match(begun.stdout.toString(), /^begun/);
  const one = await run(viaduct, ['writeback', `nfs://127.0.0.1:${proxy.ready.port}/second`, '--wait']);
  assert.deepEqual([one.code, one.stdout.toString()], [0, '/second is at the origin\n'], one.stderr);
  assert.ok(atOrigin('second').equals(second));
  for (const [signal, name] of [
    ['SIGUSR1', 'third'],
    ['SIGUSR2', 'fourth'],
  ] as const) {
    await put(name, second);
    proxy.child.kill(signal);
    for (let i = 0; i < 200 && !atOrigin(name).equals(second); i++) await new Promise((next) => setTimeout(next, 50));
    assert.ok(atOrigin(name).equals(second), signal);
  }
  await put('fifth', first);
  assert.equal(await proxy.end(), 0);
  const last = JSON.parse(proxy.lines().at(-1)!);
  assert.deepEqual([last.ended, last.pendingBytes, last.pendingFiles], [true, 3_000_000, 1]);
  assert.equal(atOrigin('fifth').length, 0);

  assert.match(
    await statusText(),
    /^2\.9 MiB of 1 file is not at the origin: it is in \S+\/dirty, of a session that has ended\n[\s\S]*restart {3}viaduct proxy .nfs:.*--policy write-back/,
  );
  const told = JSON.parse((await run(viaduct, ['status', '--json'])).stdout.toString());
  assert.deepEqual(
    [told.everythingAtOrigin, told.endedSessions.length, told.endedSessions[0].pendingBytes],
    [false, 1, 3_000_000],
  );
  const shown = JSON.parse((await run(viaduct, ['log', 'show', log, '--json'])).stdout.toString());
  assert.deepEqual([shown.policy, shown.dirtyBytes, shown.cleanlyClosed], ['write-back', 3_000_000, true]);
  assert.equal(shown.files[0].name, 'fifth');
  const salvaged = await run(viaduct, ['log', 'salvage', log, join(scratch, 'salvaged')]);
  assert.equal(salvaged.code, 0, salvaged.stderr);
  assert.ok(readFileSync(join(scratch, 'salvaged/fifth')).equals(first));
  assert.match((await run(viaduct, ['log', 'salvage', log, join(scratch, 'salvaged')])).stderr, /is not empty/);
  const other = await run(viaduct, ['proxy', origin, ...listen, '--dirty-log', log]);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /LOG_NOT_EMPTY[\s\S]*--policy write-back[\s\S]*remedy: /);

  proxy = await start('proxy', origin, ...writing);
  assert.match(await statusText(), /^2\.9 MiB of 1 file is not at the origin yet/);
  const rest = await run(viaduct, ['writeback', '--wait', '--invalidate']);
  assert.equal(rest.code, 0, rest.stderr);
  assert.ok(atOrigin('fifth').equals(first));
  assert.match((await run(viaduct, ['conflicts'])).stdout.toString(), /^no conflicts/);
  const cleared = await run(viaduct, ['conflicts', 'clear', '/fifth', '--pid', String(proxy.child.pid)]);
  assert.match(cleared.stderr, /in no conflict/);
  assert.match((await run(viaduct, ['redirect', 'discard'])).stderr, /SESSION_NOT_FOUND/);
  const missing = await run(viaduct, ['writeback', '/nowhere', '--wait']);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /no such file in the export/);
  assert.equal(await proxy.end(), 0);
  assert.deepEqual(readdirSync(join(scratch, 'state-base/dirty-logs')), [], 'nothing is left to be remembered');
  assert.match((await run(viaduct, ['writeback', '--wait'])).stderr, /SESSION_NOT_FOUND/);
  assert.equal(await serve.end(), 0);
});

test('an address alone has NFS on 2049 and a portmapper, so QEMU finds it', async () => {
  const serve = await start('serve', images, '--listen', '127.0.0.41', '--read-only');
  assert.deepEqual([serve.ready.port, serve.ready.portmapper], [2049, 'own']);
  const info = await run('qemu-img', ['info', '--output=json', 'nfs://127.0.0.41/golden/disk.raw']);
  assert.equal(info.code, 0, info.stderr);
  assert.equal(JSON.parse(info.stdout.toString())['virtual-size'], 3_000_320);
  const write = await run('nfs-cp', [join(root, 'LICENSE'), 'nfs://127.0.0.41/golden/no']);
  assert.notEqual(write.code, 0);
  assert.equal(existsSync(join(images, 'golden/no')), false);
  const second = await run(viaduct, ['serve', images, '--listen', '127.0.0.41']);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /ADDRESS_IN_USE.*127\.0\.0\.41[\s\S]*remedy: /);
  assert.equal(await serve.end(), 0);
});

test('where rpcbind holds port 111, NFS and MOUNT are registered there, and taken back at the end', async () => {
  // A network, processes and a /run of its own, so that no rpcbind of this machine is touched and none is left.
  const script = `
    mount -t tmpfs none /run && ip link set lo up && rpcbind -w && mkdir /run/v || exit 9
    ${viaduct} serve ${images} --listen 127.0.0.5 --state-directory ${join(scratch, 'state')} --json >/run/ready & pid=$!
    for i in $(seq 100); do grep -q ready /run/ready && break; sleep 0.1; done
    cat /run/ready; rpcinfo -p 127.0.0.1
    qemu-img info nfs://127.0.0.5/golden/disk.raw >/dev/null && echo QEMU-FOUND-IT
    kill $pid; wait $pid; echo "EXIT-$?"; echo AFTER; rpcinfo -p 127.0.0.1`;
  const done = await run('unshare', ['-nmp', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script], {
    env: { ...process.env, VIADUCT_RUNTIME_DIR: '/run/v' },
  });
  const [during, afterwards] = done.stdout.toString().split('AFTER') as [string, string];
  assert.match(during, /"portmapper":"rpcbind"/, done.stderr);
  assert.match(during, /100003 +3 +tcp +2049/);
  assert.match(during, /100005 +3 +tcp +2049/);
  assert.match(during, /QEMU-FOUND-IT/);
  assert.match(during, /EXIT-0/);
  assert.doesNotMatch(afterwards, /100003|100005/);
  assert.match(afterwards, /100000/);
});

test('a second signal ends a command that cannot end, and a signal while it starts ends it cleanly', async () => {
  // A server that accepts and never answers: the proxy cannot get ready.
  const silent = createServer();
  after(() => silent.close());
  const asked = once(silent, 'connection');
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as import('node:net').AddressInfo;
  const child = spawn(
    viaduct,
    [
      'proxy',
      `nfs://127.0.0.1:${port}/?mountport=${port}`,
      '--listen',
      '127.0.0.1:0',
      '--cache',
      join(scratch, 'silent'),
      '--state-directory',
      scratch,
    ],
    { env: environment(), stdio: 'ignore' },
  );
  running.add(child);
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  await asked;
  child.kill('SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 300));
  child.kill('SIGTERM');
  assert.ok([0, 143].includes((await exited) ?? -1));
  running.delete(child);
});

test('bad input gets its code, a remedy and its exit code', async () => {
  const port = await new Promise<number>((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => resolve((server.address() as import('node:net').AddressInfo).port));
    after(() => server.close());
  });
  const cache = ['--cache', join(scratch, 'bad-cache')];
  const listen = ['--listen', '127.0.0.1:0'];
  const dirty = ['--policy', 'write-back', '--dirty-log', join(scratch, 'bad-dirty')];
  const cases: [string[], RegExp, number][] = [
    [['serve', join(scratch, 'nowhere')], /nowhere[\s\S]*remedy: /, -1],
    [['serve', join(images, 'hello')], /hello[\s\S]*remedy: /, -1],
    [['serve', images, '--listen', '0.0.0.0:0'], /NOT_ALLOWED[\s\S]*--allow/, 1],
    [['serve', images, '--listen', 'somewhere'], /ADDRESS_INVALID/, 2],
    [['serve', images, '--listen', '192.0.2.1:0', '--allow', '10.0.0.0/8'], /ADDRESS_INVALID/, 2],
    [['serve', images, '--listen', `127.0.0.1:${port}`], /ADDRESS_IN_USE/, 1],
    [['serve', images, '--allow', 'everybody'], /ADDRESS_INVALID/, 2],
    [['serve', images, '--squash', 'some'], /Allowed choices/, 2],
    [['proxy', 'http://x/y', ...listen, ...cache], /ORIGIN_INVALID/, 2],
    [['proxy', 'nfs://127.0.0.1:1/?mountport=1', ...listen, ...cache], /ORIGIN_UNREACHABLE/, 1],
    [['proxy', images, ...listen, ...cache, '--cache-size', 'huge'], /CONFIGURATION_INVALID[\s\S]*20G/, 2],
    [['proxy', images, ...listen, ...cache, '--cache-size', '1K'], /too small/, 2],
    [['proxy', images, ...listen], /--cache/, 2],
    [['proxy', images, ...listen, ...cache, '--connections', '0'], /whole number/, 2],
    [['proxy', images, ...listen, ...cache, '--policy', 'write-back'], /--dirty-log/, 2],
    [['proxy', images, ...listen, ...cache, '--policy', 'sometimes'], /Allowed choices/, 2],
    [['proxy', images, ...listen, ...cache, '--policy', 'redirect', '--read-only'], /--read-only contradicts/, 2],
    [['proxy', images, ...listen, ...cache, '--commit', 'local'], /--commit local contradicts/, 2],
    [['proxy', images, ...listen, ...cache, '--dirty-limit', '20G'], /--dirty-limit contradicts/, 2],
    [['proxy', images, ...listen, ...cache, ...dirty, '--dirty-limit', '1M'], /too small/, 2],
    [['proxy', images, ...listen, ...cache, ...dirty, '--write-back-rate', '0'], /never/, 2],
    [['proxy', images, ...listen, ...cache, ...dirty, '--dirty-age', '1s'], /shorter/, 2],
    [['proxy', images, ...listen, ...cache, '--outage', 'panic'], /fail:TIME/, 2],
    [['proxy', images, ...listen, ...cache, '--take-over'], /--take-over contradicts/, 2],
    [['serve', images, '--policy', 'write-back'], /unknown option/, 2],
    [['log', 'show', images], /no dirty log/, 2],
    [['log', 'salvage', join(scratch, 'nowhere'), scratch], /does not exist/, 2],
    [['writeback', '--pid', 'me'], /whole number/, 2],
    [
      [
        'proxy',
        images,
        ...listen,
        ...cache,
        '--policy',
        'write-back',
        '--dirty-log',
        join(scratch, 'unmade'),
        '--dirty-age',
        'banana',
      ],
      /--dirty-age: "banana" is not a time/,
      2,
    ],
    [['proxy', images, ...listen, ...cache, '--read-ahead', 'plum'], /--read-ahead: "plum" is not a size/, 2],
    [['writeback', '--pid', '1'], /SESSION_NOT_FOUND/, 1],
    [['conflicts', 'clear'], /missing required argument/, 2],
    [['mount', images, join(scratch, 'no-such-mountpoint')], /not a directory|Only root/, -1],
    [['cache', 'stat', join(scratch, 'nowhere')], /does not exist/, 2],
    [['cache', 'verify', images], /CACHE_FOREIGN/, 1],
    [['dance'], /unknown command/, 2],
  ];
  await inParallel(cases, async ([args, pattern, code]) => {
    const state = ['serve', 'proxy', 'mount'].includes(args[0]!) ? ['--state-directory', join(scratch, 'state')] : [];
    const done = await run(viaduct, [...args, ...state]);
    assert.match(done.stderr, pattern, args.join(' '));
    assert.equal(done.stdout.length, 0, args.join(' '));
    if (code >= 0) assert.equal(done.code, code, `${args.join(' ')}: ${done.stderr}`);
    else assert.ok(done.code === 1 || done.code === 2, `${args.join(' ')}: ${done.code} ${done.stderr}`);
  });
});

test('an error is JSON when JSON was asked for', async () => {
  const done = await run(viaduct, ['serve', images, '--listen', 'x', '--json']);
  assert.equal(done.code, 2);
  assert.equal(JSON.parse(done.stdout.toString()).error.code, 'ADDRESS_INVALID');
});

test('a kernel without an NFS client gets a mount error with what to do, and nothing is left behind', async (t) => {
  if (process.getuid?.() !== 0) assert.fail('this test needs root: run npm test as root');
  const target = join(scratch, 'mountpoint');
  mkdirSync(target);
  if (/\bnfs$/m.test(readFileSync('/proc/filesystems', 'utf8'))) {
    t.diagnostic('this kernel has an NFS client: mounting for real');
    const mount = await start('mount', images, target);
    assert.equal(readFileSync(join(target, 'hello'), 'utf8'), 'hello\n');
    assert.equal(await mount.end(), 0);
    assert.deepEqual(readdirSync(target), []);
    return;
  }
  const done = await run(viaduct, ['mount', images, target, '--state-directory', join(scratch, 'state')]);
  assert.equal(done.code, 1, done.stderr);
  assert.match(done.stderr, /KERNEL_MOUNT_FAILED[\s\S]*remedy: /);
  assert.deepEqual(readdirSync(join(scratch, 'run')), []);
});

test('doctor answers quickly, in words and in JSON', async () => {
  const words = await run(viaduct, ['doctor', '--directory', scratch]);
  assert.match(words.stdout.toString(), /^ok +Node\.js/m);
  assert.ok(words.code === 0 || words.code === 3);
  const { findings } = JSON.parse((await run(viaduct, ['doctor', '--json', '--directory', scratch])).stdout.toString());
  for (const finding of findings) {
    assert.ok(['ok', 'warn', 'fail'].includes(finding.state));
    if (finding.state !== 'ok') assert.ok(finding.remedy, finding.name);
  }
});

test('help teaches every command, with examples', async () => {
  const help = (await run(viaduct, ['--help'])).stdout.toString();
  const commands = [
    'serve',
    'proxy',
    'mount',
    'status',
    'writeback',
    'conflicts',
    'redirect',
    'log',
    'cache',
    'doctor',
    'demo',
  ];
  await inParallel(commands, async (command) => {
    assert.match(help, new RegExp(`^  ${command}\\b`, 'm'));
    const own = await run(viaduct, [command, '--help']);
    assert.equal(own.code, 0, command);
    assert.match(own.stdout.toString(), /Usage: viaduct/);
  });
});

test('the npm package installs a command that runs without types', { timeout: 170_000 }, async () => {
  const where = join(scratch, 'package');
  mkdirSync(where);
  const env = { ...environment(), npm_config_cache: join(scratch, 'npm-cache'), npm_config_update_notifier: 'false' };
  const packed = await run('npm', ['pack', '--pack-destination', where], { cwd: root, env, limitMs: 120_000 });
  assert.equal(packed.code, 0, packed.stderr);
  const archive = readdirSync(where).find((name) => name.endsWith('.tgz'))!;
  const unpacked = await run('tar', ['-xzf', join(where, archive), '-C', where]);
  assert.equal(unpacked.code, 0, unpacked.stderr);
  // Installed as npm does it: the package below node_modules, its dependencies beside it, the command linked into .bin.
  const modules = join(where, 'node_modules');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  for (const name of ['cli-progress', 'commander', 'koffi', '@koromix', 'node', 'pino', 'zod'])
    await run('cp', ['-a', join(root, 'node_modules', name), modules]);
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (
      !name.startsWith('.') &&
      !existsSync(join(modules, name)) &&
      !/^(@biomejs|@types|@typescript|typescript|fast-check)$/.test(name)
    ) {
      await run('cp', ['-a', join(root, 'node_modules', name), modules]);
    }
  }
  await run('mv', [join(where, 'package'), join(modules, 'viaduct')]);
  await run('ln', ['-s', '../viaduct/bin/viaduct', join(modules, '.bin/viaduct')]);
  const help = await run(join(modules, '.bin/viaduct'), ['--help']);
  assert.equal(help.code, 0, help.stderr);
  assert.match(help.stdout.toString(), /Usage: viaduct/);
  const child = spawn(
    join(modules, '.bin/viaduct'),
    ['serve', images, '--listen', '127.0.0.1:0', '--json', '--state-directory', join(scratch, 'state')],
    {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  running.add(child);
  const line = await new Promise<string>((resolve) => child.stdout.once('data', (chunk) => resolve(String(chunk))));
  const ready: { port: number } = JSON.parse(line);
  const read = await run('nfs-cat', [`nfs://127.0.0.1//hello${query(ready.port)}`]);
  assert.equal(read.stdout.toString(), 'hello\n');
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  assert.equal(await exited, 0);
  running.delete(child);
});
