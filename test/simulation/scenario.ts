/**
 * One run from one seed: clients work while faults and crashes happen; then everything is repaired, all is written back, and
 * the origin must hold exactly what the clients were promised.
 */
import { type Log, seededRandom, silentLog, sleep, ViaductError } from '../../src/base/mod.ts';
import { Chance, type CrashKind, SimulatedClock, SimulatedNetwork, SimulatedOrigin } from '../../src/testing/mod.ts';
import { type Call, credential, Status } from '../../src/vfs/mod.ts';
import { Client } from './client.ts';
import { Faults } from './faults.ts';
import type { FileHistory } from './history.ts';
import { Locks } from './locks.ts';
import { Machine } from './machine.ts';
import { Model } from './model.ts';
import { OriginWatch } from './origin-watch.ts';
import { drawPlan, type ScenarioPlan, type WorkName } from './plan.ts';
import { contentOf, type Found, RecoveryCheck } from './recovery.ts';
import { buildSystem, type System } from './system.ts';
import { Violation } from './violation.ts';
import { allNames, filesNamed, Workload } from './workload.ts';

export interface ScenarioResult {
  readonly seed: number;
  readonly plan: ScenarioPlan;
  readonly crashes: number;
  readonly kills: number;
  readonly answers: number;
  readonly refusals: number;
  readonly faults: number;
  readonly originRestarts: number;
  readonly mutations: number;
  readonly lostChanges: number;
  readonly virtualMs: number;
}

export interface ScenarioOptions {
  readonly log?: Log | undefined;
  /** Instead of what the seed says. */
  readonly plan?: Partial<ScenarioPlan> | undefined;
  readonly trace?: ((line: string) => void) | undefined;
}

const watcher: Call = { credential: credential(0, 0), peer: 'watch', priority: 'demand' };
const clientCredential = credential(1001, 1001);
/** Nothing takes so long when nothing is broken. */
const repairedMs = 20 * 60_000;
const wholeMs = 24 * 3600_000;

/** Rejects with a `Violation`, or with what the engine threw. */
export async function runScenario(seed: number, options: ScenarioOptions = {}): Promise<ScenarioResult> {
  const scenario = new Scenario(seed, options);
  return await scenario.run();
}

class Scenario {
  readonly #seed: number;
  readonly #plan: ScenarioPlan;
  readonly #chance: Chance;
  readonly #clock = new SimulatedClock();
  readonly #origin: SimulatedOrigin;
  readonly #network: SimulatedNetwork;
  readonly #machine: Machine;
  readonly #model = new Model();
  readonly #watch: OriginWatch;
  readonly #recovery: RecoveryCheck;
  readonly #faults: Faults;
  readonly #locks = new Locks();
  readonly #busyNames = new Set<string>();
  readonly #clients: Client[] = [];
  readonly #workloads: Workload[] = [];
  readonly #trace: (line: string) => void;
  #left: number;
  #crashesLeft: number;
  #files = 0;
  #isCutShort = false;
  /** The log's disk refused to keep until when calls under way may be carried out; and the host lost power after it did. */
  #promise: 'kept' | 'unsynced' | 'lost' = 'kept';
  #failure: { readonly error: unknown } | undefined;

  constructor(seed: number, { log, plan, trace }: ScenarioOptions) {
    this.#seed = seed;
    const random = seededRandom(seed);
    this.#plan = { ...drawPlan(random), ...plan };
    this.#trace = trace ?? (() => {});
    const chance = new Chance(random);
    this.#chance = chance;
    this.#left = this.#plan.operations;
    this.#crashesLeft = this.#plan.crashes;
    const clock = this.#clock;
    const { timeStepMs, ...rest } = this.#plan;
    this.#origin = new SimulatedOrigin({ ...rest, ...(timeStepMs === undefined ? {} : { timeStepMs }), clock, random });
    this.#network = new SimulatedNetwork({
      clock,
      random,
      origin: this.#origin,
      latencyMs: rest.latencyMs,
      lateMs: rest.lateMs,
      onEvent: () => this.#machine.event(),
    });
    const logger = this.#watching(log ?? silentLog);
    this.#machine = new Machine({
      clock,
      random,
      network: this.#network,
      lateMs: rest.lateMs,
      disk: { quickShare: rest.quickShare, latencyMs: { write: 0.2, read: 0.2, sync: rest.syncMs } },
      excusesBoot: (error) => this.#excusesBoot(error),
      build: (surroundings) => buildSystem(this.#plan, logger, surroundings),
      onBoot: (system, died, isAlive) => this.#booted(system, died, isAlive),
    });
    this.#machine.onError = (error) => this.#fail(error);
    this.#machine.crashKind = () => (chance.happens(this.#plan.killShare) ? 'kill' : 'power');
    this.#machine.onCrash = (kind) => this.#crashed(kind);
    this.#watch = new OriginWatch(this.#origin, this.#model, {
      report: (error) => this.#fail(error),
      trace: trace === undefined ? undefined : (line) => this.#say(`origin: ${line}`),
    });
    this.#recovery = new RecoveryCheck(this.#model);
    this.#faults = new Faults(clock, chance);
  }

  async run(): Promise<ScenarioResult> {
    let isDone = false;
    this.#main().then(
      () => {
        isDone = true;
      },
      (error: unknown) => this.#fail(error),
    );
    while (!isDone && !this.#isCutShort && this.#failure === undefined) {
      if (!(await this.#clock.step())) await this.#standstill();
      if (this.#clock.now() > wholeMs) throw new Violation('the run does not end');
    }
    if (this.#failure !== undefined) {
      if (this.#machine.isUp) this.#say(`status: ${JSON.stringify(this.#machine.system.layer.status())}`);
      throw this.#failure.error;
    }
    const machine = this.#machine;
    return {
      seed: this.#seed,
      plan: this.#plan,
      crashes: machine.crashes,
      kills: machine.kills,
      answers: this.#clients.reduce((sum, client) => sum + client.answers, 0),
      refusals: this.#clients.reduce((sum, client) => sum + client.refusals, 0),
      faults: this.#faults.count,
      originRestarts: this.#origin.restarts,
      mutations: this.#watch.mutations,
      lostChanges: this.#recovery.lostChanges,
      virtualMs: this.#clock.now(),
    };
  }

  /** Nobody but us changes the origin: whatever the engine takes for a conflict is none. */
  #watching(log: Log): Log {
    const error = (fields: object, message: string): void => {
      log.error(fields, message);
      if (!('code' in fields) || fields.code !== 'CONFLICT') return;
      // A log that does not take notes cannot remember what was removed: then the data are kept, and the run ends here.
      if (this.#hasFailingDisk && message.includes('removed')) this.#isCutShort = true;
      // Nor how long its calls may still be carried out. A power loss leaves what plain NFS cannot tell from somebody else's change:
      // attributes say when, not who (RFC 1813 2.6). Then both versions are kept.
      else if (this.#promise === 'lost' && message.includes('changed')) this.#isCutShort = true;
      else this.#fail(new Violation(`false conflict: ${message}`));
    };
    const warn = (fields: object, message: string): void => {
      log.warn(fields, message);
      if (message === 'a note was not synced' && this.#promise === 'kept') this.#promise = 'unsynced';
    };
    return { debug: log.debug.bind(log), info: log.info.bind(log), warn, error };
  }

  #say(line: string): void {
    this.#trace(`${this.#clock.now().toFixed(1)} ${line}`);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** No timer is left: what is still pending has nobody to end it. */
  async #standstill(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#clock.timers() === 0 && this.#failure === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
      throw new Violation('standstill: calls are pending and nothing will ever happen');
    }
  }

  async #main(): Promise<void> {
    this.#prepare();
    const { clients, crashEvery } = this.#plan;
    this.#machine.start();
    await this.#machine.up();
    this.#armCrash(crashEvery);
    this.#faults.begin(this.#plan, this.#machine, this.#network);
    await Promise.all(Array.from({ length: clients }, (_, index) => this.#work(index)));
    this.#machine.countdown = Number.POSITIVE_INFINITY;
    this.#faults.end(this.#machine, this.#network);
    await this.#machine.up();
    await this.#within(repairedMs, 'the last write-back', this.#finish());
  }

  /** Files that the origin has before anybody asks. */
  #prepare(): void {
    const { memory } = this.#origin;
    const excuses = (status: number, file: FileHistory | undefined): boolean => this.#excuses(status, file);
    for (let index = 0; index < this.#plan.clients; index++) {
      const client = new Client({
        machine: this.#machine,
        model: this.#model,
        credential: clientCredential,
        excuses,
        trace: (line) => this.#say(`client ${index}: ${line}`),
        isBehind: (file) => this.#watch.isBehind(file),
        onStableAtOrigin:
          this.#plan.commit === 'origin' && this.#plan.mode === 'write-back'
            ? (asked) => this.#watch.demandEverything(asked)
            : undefined,
      });
      this.#clients.push(client);
      this.#workloads.push(
        new Workload({
          client,
          model: this.#model,
          locks: this.#locks,
          chance: this.#chance,
          directory: memory.root,
          onFile: (file) => this.#watch.begin(file),
          restartProxy: async () => {
            await this.#machine.close();
          },
          nowSeconds: () => Math.floor(this.#clock.wallTimeMs() / 1000),
          nextFile: () => ++this.#files,
          busyNames: this.#busyNames,
          writeMaximum: this.#plan.transferBytes,
        }),
      );
    }
    const call: Call = { ...watcher, credential: clientCredential };
    for (const name of filesNamed.slice(0, this.#chance.between(2, 4))) {
      const where = { directory: memory.root, name };
      const reply = memory.create(call, { where, how: { mode: 'guarded', set: { mode: 0o666 } } });
      if (reply.status !== 0) throw new Error(`the origin does not take ${name}`);
      const file = this.#workloads[0]!.adopt(name, reply.object!, this.#model.tick());
      this.#fill(file, call);
    }
    this.#watch.isForbidden = this.#plan.mode === 'redirect';
    this.#watch.isOrdered = this.#plan.mode !== 'redirect';
  }

  #fill(file: FileHistory, call: Call): void {
    const to = this.#chance.below(file.layout.cells + 1);
    if (to === 0) return;
    const data = file.fill(to, this.#model.tick());
    const count = file.layout.boundaries[to]!;
    this.#origin.memory.write(call, { object: file.handle, offset: 0, count, stable: 2, data });
    this.#watch.begin(file);
  }

  async #work(index: number): Promise<void> {
    const { thinkMs, work } = this.#plan;
    const names = Object.keys(work) as WorkName[];
    const total = names.reduce((sum, name) => sum + work[name], 0);
    while (this.#left > 0) {
      this.#left--;
      await this.#machine.up();
      if (thinkMs > 0) await sleep(this.#clock, thinkMs * this.#chance.share());
      let drawn = this.#chance.share() * total;
      const name = names.find((candidate) => (drawn -= work[candidate]) < 0) ?? 'write';
      this.#say(`client ${index}: ${name} (moment ${this.#model.moment})`);
      await this.#workloads[index]!.step(name);
      // Others have their turn, also when nothing had to be waited for.
      if (thinkMs === 0) await sleep(this.#clock, 0);
    }
  }

  #armCrash(mean: number): void {
    this.#machine.countdown =
      this.#crashesLeft > 0 ? 1 + this.#chance.below(2 * this.#chance.pick([mean, mean, 5])) : Number.POSITIVE_INFINITY;
  }

  #crashed(kind: CrashKind): void {
    this.#crashesLeft--;
    if (kind === 'power' && this.#promise === 'unsynced') this.#promise = 'lost';
    this.#say(`CRASH`);
    this.#armCrash(this.#plan.crashEvery);
  }

  /** A process is up: nobody has asked it anything yet. */
  async #booted(system: System, died: CrashKind | 'closed' | undefined, isAlive: () => boolean): Promise<void> {
    this.#say(`up after ${died}; ${JSON.stringify(system.log.recovery)}`);
    if (died === undefined) return;
    this.#reconcileNames();
    const files = [...this.#model.files()];
    const contents = files.map((file) => contentOf(system.log, this.#origin, file));
    const found = new Map<FileHistory, Found>();
    for (const [index, file] of files.entries()) found.set(file, await contents[index]!);
    if (!isAlive()) return;
    const poorer = this.#recovery.check(found, died, system.log.verifier);
    this.#machine.forgetDeath();
    this.#watch.lookAgain(poorer);
  }

  /** What name operations under way at the crash came to. */
  #reconcileNames(): void {
    const { memory } = this.#origin;
    this.#model.forgetNameOperations();
    const before = new Map(this.#model.names);
    const handles = new Map<string, string>();
    for (const name of allNames) {
      const reply = memory.lookup(watcher, { directory: memory.root, name });
      if (reply.status === 0) handles.set(name, reply.object);
    }
    for (const [name, file] of before) if (handles.get(name) !== file.handle) this.#model.leave(name);
    for (const [name, handle] of handles) {
      if (this.#model.byName(name) !== undefined) continue;
      const known = this.#model.byHandle(handle);
      if (known !== undefined) this.#model.enter(name, known);
      else this.#workloads[0]!.adopt(name, handle, this.#model.tick());
    }
  }

  get #hasFailingDisk(): boolean {
    return (this.#plan.failedSyncEveryMs ?? this.#plan.failedWriteEveryMs) !== undefined;
  }

  #excusesBoot(error: unknown): boolean {
    if (!(error instanceof ViaductError)) return false;
    if (error.code === 'DISK_FULL') return this.#plan.fullEveryMs !== undefined;
    return error.code === 'LOG_FAILED' && this.#hasFailingDisk;
  }

  #excuses(status: number, file: FileHistory | undefined): boolean {
    const isLeaving = file !== undefined && (file.name === undefined || this.#busyNames.has(file.name));
    if (status === Status.STALE || status === Status.NOENT) return isLeaving;
    const { fullEveryMs, mode } = this.#plan;
    if (status === Status.IO) return this.#hasFailingDisk;
    if (status === Status.NOSPC) return mode === 'redirect' || fullEveryMs !== undefined;
    return false;
  }

  async #finish(): Promise<void> {
    const { mode, redirectEnd } = this.#plan;
    const isDiscarded = mode === 'redirect' && redirectEnd === 'discard';
    if (isDiscarded) {
      await this.#answered((system) => system.layer.discardRedirect());
      return;
    }
    this.#watch.isForbidden = false;
    const result = await this.#answered((system) =>
      mode === 'redirect' ? system.layer.commitRedirect() : system.layer.writeBack(),
    );
    if (result.outcome !== 'done') throw new Violation(`the last write-back: ${result.outcome} ${result.problems}`);
    const status = this.#machine.system.layer.status();
    if (status.conflicts.length > 0)
      throw new Violation(`a conflict was reported: ${JSON.stringify(status.conflicts)}`);
    this.#watch.demandNewest();
    await this.#checkNames();
    for (const file of this.#model.files()) {
      await this.#clients[0]!.read(file, 0, Math.min(file.layout.bytes, 1024 * 1024));
      await this.#clients[0]!.getattr(file);
    }
  }

  async #answered<R>(question: (system: System) => Promise<R>): Promise<R> {
    let answer: { value: R } | undefined;
    while (answer === undefined) {
      await this.#machine.up();
      answer = await this.#machine.ask((system) => question(system).then((value) => ({ value })));
    }
    return answer.value;
  }

  async #checkNames(): Promise<void> {
    const { memory } = this.#origin;
    const listed = memory.readdir(watcher, {
      directory: memory.root,
      cookie: 0n,
      cookieVerifier: '\0'.repeat(8),
      directoryBytes: 1024 * 1024,
      replyBytes: 1024 * 1024,
    });
    if (listed.status !== 0) throw new Error('the origin does not list its root');
    const names = listed.entries
      .map(({ name }) => name)
      .filter((name) => name !== '.' && name !== '..')
      .sort();
    const known = [...this.#model.names.keys()].sort();
    if (names.join() !== known.join()) throw new Violation(`the origin has ${names}, known are ${known}`);
  }

  async #within(limitMs: number, what: string, action: Promise<void>): Promise<void> {
    let isOver = false;
    this.#clock.after(limitMs, () => {
      if (!isOver) this.#fail(new Violation(`${what} takes longer than ${limitMs} ms of virtual time`));
    });
    await action;
    isOver = true;
  }
}
