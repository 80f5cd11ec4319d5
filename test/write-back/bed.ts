/**
 * The test bed of write-back: an origin, a proxy with a dirty log before it, and the ways in which they can fail.
 *
 *     client ──► proxy (listen) ──► [ link ] ──► origin: `viaduct serve`, or a server of the test's own
 *                  └ dirty log
 *
 * A bed that ends well fails if anything is left behind: a process, a socket, a mount, a file that nobody asked for.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findLauncher, type RunningCommand, startCommand } from '../../src/demo/mod.ts';
import { type LinkProcess, startLinkProcess } from '../../src/link/mod.ts';
import type { WriteBackStatus } from '../../src/sessions/mod.ts';
import { attempt, type Outcome, scratchFolder, stop } from '../support/programs.ts';
import { assertNothingLeft, type Surroundings, surroundings } from './leftovers.ts';

export const policies = ['write-through', 'write-back', 'write-back-origin', 'redirect'] as const;
/** `write-back-origin`: COMMIT is answered when the origin has it. */
export type Policy = (typeof policies)[number];

export interface BedOptions {
  readonly name: string;
  readonly policy?: Policy;
  /** Of the proxy. Without a port there is a portmapper, as QEMU's nfs:// needs it. */
  readonly listen?: string;
  /** Between proxy and origin. */
  readonly link?: { readonly roundTripMs: number; readonly bitsPerSecond?: number };
  /** `--write-back-after`. */
  readonly after?: string;
  /** A case that takes longer has failed; it is ended, so that the next can run. */
  readonly limitMs?: number;
  /** More options of the proxy. */
  readonly more?: readonly string[];
}

const originPort = 20_490;
const linkAddress = { host: '127.0.0.4', port: 20_491 };
const never = new AbortController().signal;

export class Bed {
  readonly options: BedOptions;
  readonly scratch: string;
  /** What the origin exports; a test may point it at another place before `startOrigin`. */
  exported: string;
  /** Where the dirty log goes; likewise before `startProxy`. */
  log: string;
  proxy: RunningCommand | undefined;
  link: LinkProcess | undefined;
  /** What the proxy takes for its origin; undefined: `viaduct serve` of this bed. */
  origin: string | undefined;
  #server: RunningCommand | undefined;
  readonly #before: Surroundings;
  readonly #removeScratch: () => Promise<void>;
  readonly #closers: (() => Promise<void>)[] = [];

  /** A bed for as long as `use` takes. */
  static async use<Result>(options: BedOptions, use: (bed: Bed) => Promise<Result>): Promise<Result> {
    const bed = await Bed.#open(options);
    let result: Result;
    try {
      result = await bed.#within(use(bed));
      await bed.stopProxy();
    } catch (error) {
      const log = bed.proxy?.log.slice(-10).join('\n') ?? '';
      // What is left behind after a failure is not the news.
      await bed.#close().catch(() => {});
      if (error instanceof Error && log !== '') error.message += `\nthe proxy's last words:\n${log}`;
      throw error;
    }
    await bed.#close();
    return result;
  }

  static async #open(options: BedOptions): Promise<Bed> {
    const before = surroundings();
    const scratch = await scratchFolder(`write-back-${options.name}`);
    const bed = new Bed(options, before, scratch);
    await mkdir(bed.exported);
    if (options.link !== undefined) {
      const target = { host: '127.0.0.2', port: originPort };
      bed.link = await startLinkProcess({ routes: [{ listen: linkAddress, target }], ...options.link });
    }
    return bed;
  }

  private constructor(
    options: BedOptions,
    before: Surroundings,
    scratch: { readonly path: string; remove(): Promise<void> },
  ) {
    this.options = options;
    this.scratch = scratch.path;
    this.exported = join(scratch.path, 'exported');
    this.log = join(scratch.path, 'log');
    this.#before = before;
    this.#removeScratch = scratch.remove;
  }

  get policy(): Policy {
    return this.options.policy ?? 'write-back';
  }

  /** Where clients find the proxy. */
  get listen(): string {
    return this.options.listen ?? '127.0.0.3';
  }

  /** Two slashes before a file of the root folder: libnfs mounts its folder, and cannot mount an empty path. */
  url(name: string): string {
    return `nfs://${this.listen}//${name}`;
  }

  /** Runs before the scratch folder goes, in reverse order. */
  atEnd(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async startOrigin(): Promise<void> {
    const state = ['--state-directory', join(this.scratch, 'origin-state')];
    const args = ['serve', this.exported, '--listen', `127.0.0.2:${originPort}`, ...state];
    this.#server = await startCommand(args, { signal: never });
  }

  async killOrigin(): Promise<void> {
    await kill(this.#server);
    this.#server = undefined;
  }

  /** Runs `look` while the origin does nothing: what it finds is one moment. */
  async atOneMoment<Found>(look: () => Promise<Found>): Promise<Found> {
    const pid = this.#server!.child.pid!;
    try {
      await stop(pid);
      return await look();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }

  async startProxy(more: readonly string[] = []): Promise<RunningCommand> {
    const origin =
      this.origin ??
      (this.link === undefined
        ? `nfs://127.0.0.2:${originPort}/`
        : `nfs://${linkAddress.host}:${linkAddress.port}/?mountport=${linkAddress.port}`);
    const own = [
      '--cache',
      join(this.scratch, 'cache'),
      '--cache-size',
      '64M',
      ...policyArguments(this.policy, this.log, this.options.after),
    ];
    const state = ['--state-directory', join(this.scratch, 'proxy-state')];
    const args = ['proxy', origin, '--listen', this.listen, ...own, ...state, ...(this.options.more ?? []), ...more];
    const proxy = await startCommand(args, { signal: never, timeoutMs: 30_000 });
    assert.equal(proxy.ready.ready, true, `viaduct ${args.join(' ')}: ${JSON.stringify(proxy.ready)}`);
    this.proxy = proxy;
    return proxy;
  }

  async killProxy(): Promise<void> {
    await kill(this.proxy);
    this.proxy = undefined;
  }

  async stopProxy(): Promise<void> {
    const { proxy } = this;
    this.proxy = undefined;
    if (proxy === undefined) return;
    await proxy.stop();
    const { exitCode, signalCode } = proxy.child;
    assert.equal(exitCode, 0, `the proxy ended with ${signalCode}: ${proxy.log.slice(-5).join(' | ')}`);
  }

  /** `viaduct writeback --wait`; for a redirect session, which is never written back by itself, `viaduct redirect commit`. */
  async writeBack(timeoutMs = 60_000): Promise<Outcome> {
    if (this.policy === 'write-through') return { code: 0, stdout: Buffer.alloc(0), stderr: '' };
    const command = this.policy === 'redirect' ? ['redirect', 'commit'] : ['writeback'];
    return await attempt(findLauncher(), [...command, '--wait', '--json'], timeoutMs);
  }

  /** Everything is at the origin afterwards, or the test has failed. */
  async writeBackAll(timeoutMs?: number): Promise<void> {
    const outcome = await this.writeBack(timeoutMs);
    const log = this.proxy?.log.slice(-5).join(' | ');
    assert.equal(
      outcome.code,
      0,
      `write-back: exit ${outcome.code}: ${outcome.stdout}${outcome.stderr}; proxy: ${log}`,
    );
  }

  /** What `viaduct status --json` says of the proxy's write-back. */
  async status(): Promise<WriteBackStatus> {
    const outcome = await attempt(findLauncher(), ['status', '--json'], 10_000);
    const { processes } = JSON.parse(outcome.stdout.toString()) as { processes: ProcessRow[] };
    const own = processes.find(({ pid }) => pid === this.proxy?.child.pid);
    const status = own?.sessions[0]?.data?.writeBack;
    assert.ok(status !== undefined, `viaduct status shows no write-back: ${outcome.stdout}${outcome.stderr}`);
    return status;
  }

  async #within<Result>(work: Promise<Result>): Promise<Result> {
    const { limitMs = 150_000 } = this.options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not over after ${limitMs / 1000} s`)), limitMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #close(): Promise<void> {
    await this.killProxy();
    await this.#server?.stop();
    await this.link?.close();
    for (const close of this.#closers.toReversed()) await close();
    await this.#removeScratch();
    assertNothingLeft(this.#before, this.scratch);
  }

  /** Fails if the origin holds files that nobody asked for. */
  async assertOnly(names: readonly string[]): Promise<void> {
    assert.deepEqual((await readdir(this.exported)).filter((name) => name !== 'lost+found').sort(), names.toSorted());
  }
}

interface ProcessRow {
  readonly pid: number;
  readonly sessions: readonly { readonly data?: { readonly writeBack?: WriteBackStatus } }[];
}

function policyArguments(policy: Policy, log: string, after = '5s'): string[] {
  if (policy === 'write-through') return [];
  const more = ['--dirty-log', log, '--write-back-after', after];
  // What is never written back by itself is not written back for its age either.
  if (after.endsWith('h')) more.push('--dirty-age', '24h');
  if (policy === 'redirect') return ['--policy', 'redirect', ...more];
  return ['--policy', 'write-back', '--commit', policy === 'write-back' ? 'local' : 'origin', ...more];
}

async function kill(command: RunningCommand | undefined): Promise<void> {
  if (command === undefined || command.child.exitCode !== null || command.child.signalCode !== null) return;
  const gone = once(command.child, 'exit');
  command.child.kill('SIGKILL');
  await gone;
}
