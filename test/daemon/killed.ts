/**
 * A daemon that is killed again and again while its users create sessions, write to them and close them: whenever it is back, what it lists,
 * where it listens and what lies on its disk agree, and no change is lost.
 *
 *     user      create ── write, commit ── close (write back, keep, discard), or leave it open ── create ── ...
 *     daemon    ───────────────── killed ─ back, looked at ────────────── killed ─ back, looked at ──
 *
 * Each session has a folder of the origin with one block, so that what it may hold is known exactly. The pool of addresses is so small that
 * one which leaked would soon be missed. What closed sessions kept is brought to the origin by opening them again, or with the command that
 * `viaduct status` names.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, seededRandom } from '../../src/base/mod.ts';
import type { SessionRequest } from '../../src/daemon/mod.ts';
import { run, until } from '../support/programs.ts';
import { Client } from '../write-back/client.ts';
import { blockContent, versionOf } from '../write-back/content.ts';
import { DaemonBed } from './daemon-bed.ts';

export interface KilledOptions {
  readonly kills: number;
  readonly users: number;
  readonly seed: number;
}

/** What its user knows of a session. */
interface Entry {
  readonly name: string;
  readonly kind: 'write-back' | 'redirect';
  state: 'creating' | 'open' | 'closing' | 'closed';
  /** Answered as stable, and what may have come instead. */
  version: number;
  tried: number;
}

/** Who keeps sessions open over kills closes the oldest beyond this. */
const mostOpen = 4;
const pool = '127.1.0.0/26';

export async function killedDaemon({ kills, users, seed }: KilledOptions): Promise<Record<string, number>> {
  const more = `daemon:\n  listen-pool: ${pool}\n`;
  return await DaemonBed.use({ name: 'killed', more }, async (bed) => {
    const random = seededRandom(seed);
    await bed.startOrigin();
    await bed.startDaemon();
    const all = Array.from({ length: users }, (_, index) => new User(bed, index, seededRandom(seed * 100 + index)));
    let interrupted = 0;
    for (let kill = 1; kill <= kills; kill++) {
      const working = all.map((user) => user.work());
      await Promise.race([Promise.all(working), sleep(random.uint32() % 2000)]);
      for (const user of all) user.isOver = true;
      await bed.endDaemon('SIGKILL');
      await Promise.all(working);
      interrupted += all.flatMap((user) => user.entries).filter(({ state }) => /ing$/.test(state)).length;
      await bed.startDaemon();
      await bed.untilState('running');
      await assertAgreement(bed);
      for (const user of all) await user.look();
    }
    for (const user of all) await user.closeAll();
    await assertAgreement(bed);
    // Kept changes come to the origin by the session, or without the daemon.
    for (const [index, { name, state }] of (await bed.client.sessions()).entries()) {
      assert.equal(state, 'closed', name);
      if (index % 2 === 1) continue;
      await bed.said('session', 'reopen', name);
      await bed.said('session', 'close', name, '--write-back');
    }
    await bed.endDaemon('SIGTERM');
    const recovered = await recoverLogs(bed);
    await bed.startDaemon();
    await until('kept sessions are gone', async () => (await bed.client.sessions()).length === 0, 30_000);
    assert.deepEqual(await bed.directories(), []);
    await bed.endDaemon('SIGTERM');
    for (const user of all) await user.assertAtOrigin();
    const entries = all.flatMap((user) => user.entries).length;
    return { kills, sessions: entries, interrupted, recovered };
  });
}

/** What the daemon lists, where it listens, and what it keeps. */
async function assertAgreement(bed: DaemonBed): Promise<void> {
  const views = await bed.client.sessions();
  const ids = views.map(({ id }) => id).sort();
  assert.deepEqual(await bed.directories(), ids, 'directories of sessions');
  const left = (await endedSessions(bed)).map(({ directory }) => basename(dirname(directory)));
  const closed = views.filter(({ state }) => state === 'closed');
  assert.deepEqual(left.sort(), closed.map(({ id }) => id).sort(), 'logs that are left, and closed sessions');
  const hosts = views
    .filter(({ state }) => state !== 'closed')
    .map(({ place }) => place!.host)
    .sort();
  assert.equal(new Set(hosts).size, hosts.length, `addresses twice: ${hosts}`);
  assert.deepEqual(await listening(), hosts, 'addresses on which the daemon listens');
}

/** Addresses of the pool with a listener on the port of NFS. */
async function listening(): Promise<string[]> {
  const said = (await run('ss', ['-Hltn', 'sport = :2049'])).toString();
  return [...said.matchAll(/\s(127\.1\.0\.\d+):2049\s/g)].map((match) => match[1]!).sort();
}

interface EndedSession {
  readonly directory: string;
  readonly restart: string;
}

async function endedSessions(bed: DaemonBed): Promise<readonly EndedSession[]> {
  // Its exit code says that something is not at the origin.
  const { stdout } = await bed.command('status', '--json');
  return (JSON.parse(stdout.toString()) as { endedSessions: EndedSession[] }).endedSessions;
}

/** As a person does it who reads `viaduct status`. */
async function recoverLogs(bed: DaemonBed): Promise<number> {
  const left = await endedSessions(bed);
  for (const { restart } of left) await bed.aloneUntilWrittenBack(restart);
  assert.deepEqual(await endedSessions(bed), []);
  return left.length;
}

class User {
  isOver = false;
  readonly entries: Entry[] = [];
  readonly #bed: DaemonBed;
  readonly #index: number;
  readonly #random: Random;

  constructor(bed: DaemonBed, index: number, random: Random) {
    this.#bed = bed;
    this.#index = index;
    this.#random = random;
  }

  /** Until the daemon is killed; what fails then was to be expected. */
  async work(): Promise<void> {
    this.isOver = false;
    try {
      while (!this.isOver) {
        const open = this.entries.filter(({ state }) => state === 'open');
        if (open.length > mostOpen) await this.#close(open[0]!);
        else if (this.#chance(3) && open.length > 0) await this.#write(open.at(-1)!);
        else await this.#create();
      }
    } catch (error) {
      if (!this.isOver) throw error;
    }
  }

  async #create(): Promise<void> {
    const kind = this.#chance(4) ? 'redirect' : 'write-back';
    const name = `u${this.#index}-${this.entries.length}`;
    await mkdir(join(this.#bed.exported, name));
    await writeFile(this.#fileOf(name), blockContent(0, 1));
    const entry: Entry = { name, kind, state: 'creating', version: 1, tried: 1 };
    this.entries.push(entry);
    const after = this.#chance(2) ? '1h' : '50ms';
    const settings = kind === 'redirect' ? {} : { 'write-back-after': after, 'dirty-age': '24h' };
    const policy = kind === 'redirect' ? 'scratch' : 'vm-disk';
    await this.#made({ name, origin: this.#bed.origin(name), policy, settings });
    entry.state = 'open';
    await this.#write(entry);
    if (this.#chance(2)) await this.#close(entry);
  }

  /** By the command a person uses, or as a program does. */
  async #made(request: SessionRequest & { readonly name: string }): Promise<void> {
    if (!this.#chance(3)) {
      await this.#bed.client.createSession(request);
      return;
    }
    const { name, origin, policy = '', settings = {} } = request;
    const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    await this.#bed.said('session', 'create', origin, '--name', name, '--policy', policy, ...set);
  }

  async #write(entry: Entry): Promise<void> {
    entry.tried = entry.version + 1;
    await this.#withFile(entry, async (file) => {
      await file.write(0, blockContent(0, entry.tried));
      await file.commit();
    });
    entry.version = entry.tried;
  }

  async #close(entry: Entry): Promise<void> {
    const changes = entry.kind === 'redirect' ? 'discard' : this.#chance(2) ? 'keep' : 'write-back';
    entry.state = 'closing';
    await this.#bed.client.closeSession(entry.name, { changes });
    entry.state = 'closed';
  }

  /** What became of what was interrupted, and that the rest is as it was. */
  async look(): Promise<void> {
    this.isOver = false;
    const views = await this.#bed.client.sessions();
    for (const entry of this.entries) {
      const isThere = views.some(({ name, state }) => name === entry.name && state !== 'closed');
      const { name, state } = entry;
      if (state === 'open') assert.ok(isThere, `session ${name} is gone`);
      if (state === 'closed') assert.ok(!isThere, `session ${name} is back`);
      entry.state = isThere ? 'open' : 'closed';
      if (!isThere) continue;
      const found = await this.#withFile(entry, async (file) => versionOf(await file.read(0, 4096), 0));
      const allowed = [entry.version, entry.tried, ...(entry.kind === 'redirect' && state === 'closing' ? [1] : [])];
      assert.ok(allowed.includes(found), `session ${name}, ${state}: version ${found} instead of ${allowed}`);
      entry.version = found;
      entry.tried = found;
    }
  }

  async closeAll(): Promise<void> {
    for (const entry of this.entries) if (entry.state === 'open') await this.#close(entry);
  }

  async assertAtOrigin(): Promise<void> {
    for (const { name, kind, version, tried } of this.entries) {
      const found = versionOf(await readFile(this.#fileOf(name)), 0);
      const allowed = kind === 'redirect' ? [1] : [version, tried];
      assert.ok(allowed.includes(found), `${name}: the origin has version ${found} instead of ${allowed}`);
    }
  }

  /** Also ends when the daemon is killed: its calls would wait for a session that may not come back. */
  async #withFile<Result>(
    { name }: Entry,
    use: (file: Awaited<ReturnType<Client['file']>>) => Promise<Result>,
  ): Promise<Result> {
    const { place } = await this.#bed.session(name);
    const over = new AbortController();
    const killed = this.#killed(over.signal);
    const opened: Client[] = [];
    const work = async (): Promise<Result> => {
      const client = await Client.open(`nfs://${place!.host}:${place!.port}/?mountport=${place!.port}`);
      opened.push(client);
      if (over.signal.aborted) await client.close();
      return await use(await client.file('data'));
    };
    const working = work();
    working.catch(() => {});
    try {
      return await Promise.race([working, killed]);
    } finally {
      over.abort();
      for (const client of opened) await client.close();
    }
  }

  async #killed(signal: AbortSignal): Promise<never> {
    while (!this.isOver && !signal.aborted) await sleep(20);
    if (signal.aborted) return await new Promise<never>(() => {});
    throw new Error('the daemon was killed');
  }

  #fileOf(name: string): string {
    return join(this.#bed.exported, name, 'data');
  }

  #chance(of: number): boolean {
    return this.#random.uint32() % of === 0;
  }
}
