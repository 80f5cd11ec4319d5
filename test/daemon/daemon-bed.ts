/**
 * The test bed of the daemon: an origin of this host, a daemon that is ended and started again, clients of its sessions.
 *
 *     clients ──► sessions of the daemon ──► origin: `viaduct serve` of EXPORTED, at nfs://127.0.0.2:20490
 *                   └ SCRATCH/daemon: viaduct.yaml, state, cache, run
 *
 * A bed that ends well fails if anything is left behind: a process, a socket, a mount.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DaemonClient } from '../../src/daemon/mod.ts';
import { findLauncher, type RunningCommand, startCommand } from '../../src/demo/mod.ts';
import {
  daemonConfiguration,
  endDaemon,
  type StartDaemonOptions,
  startDaemon,
  type TestDaemon,
} from '../support/daemon.ts';
import { attempt, type Outcome, scratchFolder, until } from '../support/programs.ts';
import { assertNothingLeft, surroundings } from '../write-back/leftovers.ts';

const originPort = 20_490;
const patienceMs = 60_000;

type View = Awaited<ReturnType<DaemonClient['sessions']>>[number];

export interface DaemonBedOptions {
  readonly name: string;
  /** More of viaduct.yaml than its cache. */
  readonly more?: string;
  /** Beside what tests of the daemon always say. */
  readonly start?: StartDaemonOptions;
}

export class DaemonBed {
  readonly scratch: string;
  /** What the origin exports. */
  readonly exported: string;
  /** viaduct.yaml; read when the daemon starts, and by SIGHUP once it is written. */
  configuration: string;
  start: StartDaemonOptions;
  #daemon: TestDaemon | undefined;
  #origin: RunningCommand | undefined;
  readonly #closers: (() => Promise<void>)[] = [];

  /** A bed for as long as `use` takes. */
  static async use<Result>(options: DaemonBedOptions, use: (bed: DaemonBed) => Promise<Result>): Promise<Result> {
    const before = surroundings();
    const scratch = await scratchFolder(`daemon-${options.name}`);
    const bed = new DaemonBed(options, scratch.path);
    await mkdir(bed.exported);
    // Sockets of another bed, and notes about logs that it left, are none of its business.
    process.env.VIADUCT_RUNTIME_DIR = join(bed.folder, 'run');
    process.env.VIADUCT_STATE_DIR = join(scratch.path, 'notes');
    let result: Result;
    try {
      result = await use(bed);
      await bed.endDaemon('SIGTERM');
    } catch (error) {
      if (error instanceof Error) error.message += `\nthe daemon's last words:\n${bed.log.slice(-10).join('\n')}`;
      // What is left behind after a failure is not the news.
      await bed.#close().catch(() => {});
      await scratch.remove();
      throw error;
    }
    await bed.#close();
    await scratch.remove();
    assertNothingLeft(before, scratch.path);
    assert.ok(!existsSync(scratch.path), 'files are left');
    return result;
  }

  private constructor({ more, start = {} }: DaemonBedOptions, scratch: string) {
    this.scratch = scratch;
    this.exported = join(scratch, 'exported');
    this.configuration = daemonConfiguration(this.folder, { more: more ?? '' });
    this.start = start;
  }

  get folder(): string {
    return join(this.scratch, 'daemon');
  }

  get state(): string {
    return this.start.stateDirectory ?? join(this.folder, 'state');
  }

  get client(): DaemonClient {
    assert.ok(this.#daemon !== undefined, 'no daemon runs');
    return this.#daemon.client;
  }

  get pid(): number {
    return this.#daemon!.command.child.pid!;
  }

  get log(): readonly string[] {
    return this.#daemon?.command.log ?? [];
  }

  /** Runs before the scratch folder goes, in reverse order. */
  atEnd(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** A folder of the origin, as sessions name it. */
  origin(folder = ''): string {
    return `nfs://127.0.0.2:${originPort}/${folder}?mountport=${originPort}`;
  }

  async startOrigin(): Promise<void> {
    const state = ['--state-directory', join(this.scratch, 'origin-state')];
    const args = ['serve', this.exported, '--alone', '--listen', `127.0.0.2:${originPort}`, ...state];
    this.#origin = await startCommand(args, { signal: new AbortController().signal, timeoutMs: patienceMs });
  }

  async killOrigin(): Promise<void> {
    const child = this.#origin?.child;
    this.#origin = undefined;
    if (child === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async startDaemon(): Promise<void> {
    this.#daemon = await startDaemon(this.folder, this.configuration, this.start);
  }

  async endDaemon(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined) return;
    await endDaemon(daemon, signal);
    this.#daemon = undefined;
  }

  /** `viaduct ...`, to its end. */
  command(...args: string[]): Promise<Outcome> {
    return attempt(findLauncher(), args, patienceMs);
  }

  /** Of a command that must succeed: the last line of its JSON. */
  async said(...args: string[]): Promise<unknown> {
    const { code, stdout, stderr } = await this.command(...args, '--json');
    assert.equal(code, 0, `viaduct ${args.join(' ')}: exit ${code}: ${stderr}${stdout}`);
    return JSON.parse(stdout.toString().trim().split('\n').at(-1)!);
  }

  /** Everything that the session was given is at the origin afterwards. */
  async writeBack(session: string): Promise<void> {
    await this.said('session', 'writeback', session, '--wait');
  }

  /** `restart`: as `viaduct status` names it, of a session that left something. It has its changes written back, and ends. */
  async aloneUntilWrittenBack(restart: string): Promise<void> {
    const words = [...restart.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);
    const command = await startCommand(words.slice(1), { signal: new AbortController().signal, timeoutMs: patienceMs });
    assert.equal(command.ready.ready, true, `${restart}: ${JSON.stringify(command.ready)}`);
    try {
      await this.said('writeback', '--wait');
    } finally {
      await command.stop();
    }
  }

  async session(name: string): Promise<View> {
    const found = (await this.client.sessions()).find((view) => view.name === name);
    assert.ok(found !== undefined, `there is no session ${name}`);
    return found;
  }

  /** Waits until each of the sessions that are not closed, or of those with these names, is in that state. */
  async untilState(state: View['state'], names?: readonly string[]): Promise<void> {
    let seen = '';
    try {
      await until(
        `sessions are ${state}`,
        async () => {
          const views = (await this.client.sessions()).filter(
            ({ name, state }) => names?.includes(name) ?? state !== 'closed',
          );
          seen = JSON.stringify(views.filter((view) => view.state !== state));
          return views.length >= (names?.length ?? 0) && views.every((view) => view.state === state);
        },
        patienceMs,
      );
    } catch (error) {
      if (error instanceof Error) error.message += `: ${seen}`;
      throw error;
    }
  }

  /** The directories that the daemon keeps of sessions, by id. */
  async directories(): Promise<string[]> {
    const folder = join(this.state, 'sessions');
    return existsSync(folder) ? (await readdir(folder)).sort() : [];
  }

  async #close(): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
    await this.endDaemon('SIGKILL');
    await this.killOrigin();
  }
}

/** As QEMU reaches a file of the session; two slashes: libnfs cannot mount an empty path. */
export function fileUrl({ place }: Pick<View, 'place'>, name: string): string {
  assert.ok(place !== undefined && place.portmapper !== 'none', `QEMU cannot reach ${JSON.stringify(place)}`);
  return `nfs://${place.host}//${name}`;
}
