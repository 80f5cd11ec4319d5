/** Sessions in worker threads that are played: they do what the test says, and answer pings unless told not to. */
import { EventEmitter } from 'node:events';
import { type Log, silentLog } from '../base/mod.ts';
import { SimulatedClock } from '../testing/mod.ts';
import type { ListeningPlace, OpenOrder, SessionWord, WorkerOrder, WorkerReport } from './messages.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import { PooledWorker, type WorkerHandle } from './pooled-worker.ts';
import type { SupervisorOptions } from './supervision.ts';
import { Supervisor } from './supervisor.ts';

export const place: ListeningPlace = { host: '127.0.0.1', port: 40_000, portmapper: 'none' };
export const boom = { code: 'UNEXPECTED', cause: 'boom', remedy: 'report it' } as const;
const plan = servePlan({ origin: '/images', stateDirectory: '/state' });

export class FakeWorker extends EventEmitter implements WorkerHandle {
  readonly orders: WorkerOrder[] = [];
  terminated = false;
  /** In a call of the system that does not return: it ends when the test says so. */
  isStuck = false;
  readonly #pings: number[] = [];
  #isBlocked = false;

  /** What was asked meanwhile is answered behind it. */
  set isBlocked(isBlocked: boolean) {
    this.#isBlocked = isBlocked;
    if (!isBlocked) for (const id of this.#pings.splice(0)) this.report({ kind: 'pong', id });
  }

  postMessage(order: WorkerOrder): void {
    this.orders.push(order);
    if (order.kind !== 'ping') return;
    queueMicrotask(() => {
      if (this.#isBlocked) this.#pings.push(order.id);
      else this.report({ kind: 'pong', id: order.id });
    });
  }
  terminate(): Promise<number> {
    this.terminated = true;
    if (!this.isStuck) this.emit('exit', 1);
    return Promise.resolve(1);
  }
  report(report: WorkerReport): void {
    this.emit('message', report);
  }
  /** By that life of it; default: the one that was opened last. */
  say(word: SessionWord, life = this.opened().findLast(({ session }) => session === word.session)?.life ?? 0): void {
    this.report({ ...word, life });
  }
  opened(): OpenOrder[] {
    return this.orders.filter((order) => order.kind === 'open');
  }
  ready(session = 1): void {
    this.say({ kind: 'ready', session, place: { ...place, port: place.port + session - 1 } });
  }
  failed(session = 1): void {
    this.say({ kind: 'failed', session, error: boom });
  }
  closed(session = 1, isClean = true): void {
    this.say({ kind: 'closed', session, left: undefined, isClean });
  }
}

export interface Supervised {
  readonly clock: SimulatedClock;
  readonly workers: FakeWorker[];
  readonly worker: PooledWorker;
  readonly supervisor: Supervisor;
  /** One session more in the same worker. */
  another(change?: Partial<SessionPlan>, options?: Partial<SupervisorOptions>): Supervisor;
}

/** `isSplit`: half of the sessions of a worker that keeps dying go to another one. */
export function supervised(log: Log = silentLog, isSplit = false): Supervised {
  const clock = new SimulatedClock();
  const workers: FakeWorker[] = [];
  const startWorker = (): FakeWorker => {
    const worker = new FakeWorker();
    workers.push(worker);
    return worker;
  };
  const another = (): PooledWorker => new PooledWorker({ clock, log, startWorker, ...(isSplit ? { another } : {}) });
  const worker = another();
  let number = 0;
  const more = (change: Partial<SessionPlan> = {}, options: Partial<SupervisorOptions> = {}): Supervisor =>
    new Supervisor({
      ...{ number: ++number, plan: { ...plan, ...change }, cache: undefined, worker, clock, log },
      ...options,
    });
  return { clock, workers, worker, supervisor: more(), another: more };
}
