/**
 * Live `viaduct` commands for the tests of bad input, and clients that look at them from outside: well-behaved ones through our own
 * client, and raw ones that send what it never would.
 *
 * Invariant: what a `Place` started is gone when it is removed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog, systemClock, systemRandom } from '../../src/base/mod.ts';
import { findLauncher } from '../../src/demo/mod.ts';
import { mountClient } from '../../src/mount3/mod.ts';
import { Nfs3Client } from '../../src/nfs3/mod.ts';
import { RpcClient } from '../../src/rpc/mod.ts';
import { type Call, credential, type FileHandle } from '../../src/vfs/mod.ts';

export const superuser = credential(0, 0);
export const call: Call = { credential: superuser, peer: 'test', priority: 'demand' };

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs, or ran. */
export class Command {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  readonly #watchers = new Set<() => void>();

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => this.#take('stdout', text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => this.#take('stderr', text));
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
        for (const watcher of this.#watchers) watcher();
      });
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until a stream has `pattern`. */
  said(stream: 'stdout' | 'stderr', pattern: RegExp, limitMs = 20_000): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        finish();
        reject(new Error(`${this.child.spawnargs.join(' ')}: ${why} without ${pattern}: ${this.stdout}${this.stderr}`));
      };
      const look = (): void => {
        const found = this[stream].match(pattern);
        if (found === null) {
          if (!this.isRunning()) fail('ended');
          return;
        }
        finish();
        resolve(found);
      };
      const limit = setTimeout(() => fail(`${limitMs} ms`), limitMs);
      const finish = (): void => {
        clearTimeout(limit);
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
      look();
    });
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (this.isRunning()) this.child.kill(signal);
    return this.ended;
  }

  #take(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** A long-running command that is ready. */
export interface Live {
  readonly command: Command;
  readonly host: string;
  readonly port: number;
}

/** A folder with everything of one test file in it: exports, caches, state, sockets, and the commands that use them. */
export class Place {
  readonly path: string;
  readonly #commands = new Set<Command>();
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(name: string) {
    this.path = mkdtempSync(join(tmpdir(), `viaduct-${name}-`));
    mkdirSync(this.at('run'), { mode: 0o700 });
  }

  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  directory(...names: string[]): string {
    const path = this.at(...names);
    mkdirSync(path, { recursive: true });
    return path;
  }

  environment(): NodeJS.ProcessEnv {
    return { ...process.env, VIADUCT_RUNTIME_DIR: this.at('run'), VIADUCT_STATE_DIR: this.at('state-base') };
  }

  /** Starts `viaduct ARGS`, or `viaduct` behind a program that changes its circumstances. */
  start(args: readonly string[], wrapper: readonly string[] = []): Command {
    const line = [...wrapper, findLauncher(), ...args];
    const command = new Command(line[0]!, line.slice(1), this.environment());
    this.#commands.add(command);
    const forget = (): boolean => this.#commands.delete(command);
    command.ended.then(forget, forget);
    return command;
  }

  /** To its end. */
  run(args: readonly string[], wrapper: readonly string[] = []): Promise<Ended> {
    return this.start(args, wrapper).ended;
  }

  async ready(args: readonly string[], wrapper: readonly string[] = []): Promise<Live> {
    const state = args.includes('--state-directory') ? [] : ['--state-directory', this.at('state')];
    const command = this.start([...args, '--json', ...state], wrapper);
    const [line] = await command.said('stdout', /^\{.*\}$/m);
    const { host, port }: { host?: string; port?: number } = JSON.parse(line);
    if (host === undefined || port === undefined) throw new Error(`${args.join(' ')}: ${line}`);
    return { command, host, port };
  }

  serve(directory: string, listen = '127.0.0.1:0', ...more: string[]): Promise<Live> {
    return this.ready(['serve', directory, '--listen', listen, ...more]);
  }

  proxy(origin: Live | string, cache = this.at('cache'), ...more: string[]): Promise<Live> {
    const address = typeof origin === 'string' ? origin : originOf(origin);
    const size = more.includes('--cache-size') ? [] : ['--cache-size', '64M'];
    return this.ready(['proxy', address, '--listen', '127.0.0.1:0', '--cache', cache, ...size, ...more]);
  }

  async mount({ host, port }: Live, as = superuser): Promise<Client> {
    const caller = new RpcClient({ host, port, clock: systemClock, log: silentLog, random: systemRandom });
    this.keep(() => caller.close());
    const reply = await mountClient.mnt(caller, '/', { credential: as, deadlineMs: 10_000 });
    assert.equal(reply.status, 0);
    const root = reply.object;
    const filesystem = new Nfs3Client({ caller, root, identity: 'test', clock: systemClock });
    return { filesystem, caller, root, close: () => filesystem.close() };
  }

  /** Whatever a test leaves open when it fails keeps the process running: `close` is called at the end, perhaps once more. */
  keep(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async remove(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
    for (const command of [...this.#commands]) {
      command.child.kill('SIGKILL');
      await command.ended;
    }
    rmSync(this.path, { recursive: true, force: true, maxRetries: 3 });
  }
}

export function originOf({ host, port }: Live): string {
  return `nfs://${host}:${port}/?mountport=${port}`;
}

export interface Client {
  readonly filesystem: Nfs3Client;
  readonly caller: RpcClient;
  readonly root: FileHandle;
  close(): Promise<void>;
}

export async function handleOf({ filesystem, root }: Client, name: string): Promise<FileHandle> {
  const reply = await filesystem.lookup(call, { directory: root, name });
  assert.equal(reply.status, 0, name);
  return reply.object;
}

/** The whole file, in reads of 64 KiB. A status other than 0 is an error that names it. */
export async function readFile(client: Client, object: FileHandle): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let offset = 0; ; ) {
    const reply = await client.filesystem.read(call, { object, offset, count: 65_536 });
    assert.equal(reply.status, 0, `READ at ${offset}`);
    parts.push(...reply.data.map((slice) => Buffer.from(slice)));
    offset += reply.count;
    if (reply.eof) return Buffer.concat(parts);
  }
}

/** Most memory that the process has ever had. */
export function peakResidentBytes({ command }: Live): number {
  return 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${command.pid}/status`, 'latin1'))?.[1]);
}

/** What `viaduct status` says about the session. */
export async function statusOf(place: Place, { command }: Live): Promise<SessionShown> {
  const { stdout } = await place.run(['status', '--json']);
  const { processes }: { processes: { pid: number; sessions: SessionShown[] }[] } = JSON.parse(stdout);
  const shown = processes.find(({ pid }) => pid === command.pid)?.sessions[0];
  assert.ok(shown !== undefined, stdout);
  return shown;
}

export interface SessionShown {
  readonly state: string;
  readonly restarts: number;
  readonly cache?: { readonly corruptSectors: number; readonly hits: number };
  readonly data?: { readonly server: Record<string, number>; readonly layers: Record<string, Record<string, unknown>> };
}

/** The promise, or an error if it takes longer. */
export function within<T>(limitMs: number, what: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`not within ${limitMs} ms: ${what}`)), limitMs);
    promise.then(resolve, reject).finally(() => clearTimeout(limit));
  });
}
