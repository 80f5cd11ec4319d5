/**
 * The program of a session's worker thread: the whole data path of one session, from its listeners to its origin. It is started
 * by session.ts and speaks messages.ts.
 *
 *   workerData ──► stack ──► RPC server ──► listeners ──► ready        close ──► listeners, server, stack ──► closed
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { type Clock, type Log, type Random, systemClock, systemRandom } from '../base/mod.ts';
import { CleanCache } from '../cache/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { DuplicateRequestCache, PeerPolicy, RpcServer } from '../rpc/mod.ts';
import { buildStack } from './build.ts';
import { closeAfterError, closeEach } from './close-each.ts';
import { recordOf } from './error-record.ts';
import { openListeners } from './listen.ts';
import {
  type LogLevel,
  plainFields,
  type WorkerOrder,
  type WorkerReport,
  type WorkerStart,
  type WorkerStats,
} from './messages.ts';
import type { SessionPlan } from './plan.ts';
import { describeStack } from './stack.ts';
import { runTask } from './task-runner.ts';
import type { SessionTask, TaskEvent } from './tasks.ts';
import type { LeftBehind } from './write-back-status.ts';

interface DataPath {
  readonly report: WorkerReport;
  stats(): Promise<WorkerStats>;
  run(task: SessionTask, tell: (event: TaskEvent) => void): void;
  close(): Promise<LeftBehind | undefined>;
}

interface Tools {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
}

if (parentPort !== null) {
  const port = parentPort;
  const post = (report: WorkerReport): void => port.postMessage(report);
  const tools = { clock: systemClock, log: postingLog(post), random: systemRandom };
  // An order may come while the data path is still being opened.
  const opening = openDataPath(workerData, tools);
  port.on('message', (order: WorkerOrder) => {
    opening.then((path) => obey(path, order, post)).catch((error: unknown) => end(error));
  });
  const end = (error: unknown): void => {
    post({ kind: 'failed', error: recordOf(error) });
    port.close();
  };
  opening.then((path) => post(path.report), end);
}

async function obey(path: DataPath, order: WorkerOrder, post: (report: WorkerReport) => void): Promise<void> {
  switch (order.kind) {
    case 'stats':
      post({ kind: 'stats', id: order.id, stats: await path.stats() });
      return;
    case 'task':
      path.run(order.task, (event) => post({ kind: 'task', id: order.id, event }));
      return;
    case 'close':
      post({ kind: 'closed', left: await path.close() });
      parentPort?.close();
  }
}

async function openDataPath(start: WorkerStart, tools: Tools): Promise<DataPath> {
  const { plan } = start;
  // What is open so far, in order; closed in reverse, by an error here or by the end.
  const open: (() => Promise<unknown>)[] = [];
  let left: LeftBehind | undefined;
  const replies = repliesFile(plan);
  const isFirstUse = replies !== undefined && !existsSync(replies);
  const closeAll = async (): Promise<LeftBehind | undefined> => {
    await closeEach(open.reverse());
    return left;
  };
  try {
    const cache = start.cache === undefined ? undefined : CleanCache.attach(start.cache, tools);
    if (cache !== undefined) open.push(() => cache.close());
    // What was said once is not repeated by a worker that comes back: by then somebody else may have taken over.
    const isLogReopened = start.port !== undefined;
    const takeOverLease = plan.takeOverLease === true && !isLogReopened;
    const description = { ...describeStack({ ...plan, takeOverLease }), isLogReopened };
    const stack = await buildStack(description, { ...tools, cache });
    open.push(async () => {
      left = await stack.close();
    });
    const duplicates = await openDuplicates(replies, tools);
    open.push(() => duplicates.close());
    const admit = new PeerPolicy({ networks: plan.allow });
    const programs = [nfs3Program(stack.top), mount3Program({ filesystem: stack.top }), ...stack.programs];
    const server = new RpcServer({ programs, ...tools, admit, duplicates });
    open.push(() => server.close());
    const listening = await openListeners({ rule: plan.listen, port: start.port, server, admit, ...tools });
    open.push(() => listening.close());
    return {
      report: { kind: 'ready', place: listening.place },
      stats: async () => {
        const [writeBack, chain] = await Promise.all([stack.writeBack?.status(), stack.chain.status()]);
        return { server: server.stats(), layers: stack.stats(), writeBack, chain };
      },
      run: (task, tell) => void runTask(stack, task, tell),
      close: closeAll,
    };
  } catch (error) {
    await closeAfterError(open.reverse(), tools.log);
    // A start that failed leaves nothing where nothing was.
    if (replies !== undefined && isFirstUse) rmSync(replies, { force: true });
    throw error;
  }
}

/** Replies to non-idempotent calls survive a restart where the session has an address of its own; port 0 is another each time. */
function repliesFile({ listen: { host, port }, stateDirectory }: SessionPlan): string | undefined {
  if (port === 0) return undefined;
  return join(stateDirectory, `replies-${host.replaceAll(/[^0-9a-zA-Z.]/g, '_')}-${port ?? 2049}`);
}

function openDuplicates(path: string | undefined, { clock, log }: Tools): Promise<DuplicateRequestCache> {
  if (path === undefined) return Promise.resolve(new DuplicateRequestCache({ clock }));
  return DuplicateRequestCache.open(path, { clock, log });
}

function postingLog(post: (report: WorkerReport) => void): Log {
  const at = (level: LogLevel) => (fields: object, message: string) =>
    post({ kind: 'log', level, fields: plainFields(fields), message });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
