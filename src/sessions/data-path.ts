/**
 * The whole data path of one session, from its listeners to its origin, in a worker.
 *
 *   plan ──► stack ──► duplicates ──► RPC server ──► listeners ──► place        close ──► the same in reverse
 *
 * On an error nothing stays open. The cache is its worker's, and stays.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Log, Random } from '../base/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { DuplicateRequestCache, PeerPolicy, RpcServer } from '../rpc/mod.ts';
import type { FileRuleSet } from '../vfs/mod.ts';
import type { AttachedCache } from './attached-caches.ts';
import { buildStack } from './build.ts';
import { closeAfterError, closeEach } from './close-each.ts';
import { openListeners } from './listen.ts';
import type { ListeningPlace, SessionOpening, WorkerStats } from './messages.ts';
import { OpeningEnded, refuseIfEnded } from './opening-end.ts';
import type { SessionPlan } from './plan.ts';
import { describeStack } from './stack.ts';
import { runTask } from './task-runner.ts';
import type { SessionTask, TaskEvent } from './tasks.ts';
import type { LeftBehind } from './write-back-status.ts';

export interface DataPath {
  readonly place: ListeningPlace;
  stats(): Promise<WorkerStats>;
  run(task: SessionTask, tell: (event: TaskEvent) => void): void;
  setFiles(files: FileRuleSet): void;
  /**
   * Rejects if a part could not be closed; the others are. `isLast`: the process ends, and another one is likely to take over: what clients
   * may ask that one again is not waited for long.
   */
  close(isLast?: boolean): Promise<LeftBehind | undefined>;
}

const replyGraceMs = 1_000;
/** Of those to idempotent calls at the end of the process: what is nearly there is sent. */
const lastReplyGraceMs = 50;

export interface DataPathTools {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** It is not wanted any more: opening it rejects with OpeningEnded. */
  readonly ending?: AbortSignal | undefined;
}

export async function openDataPath(
  { plan, port, hadLog, listener }: SessionOpening,
  attached: AttachedCache | undefined,
  tools: DataPathTools,
): Promise<DataPath> {
  // What is open so far, in order; closed in reverse, by an error here or by the end.
  const open: (() => Promise<unknown>)[] = [];
  let left: LeftBehind | undefined;
  const replies = repliesFile(plan);
  const isFirstUse = replies !== undefined && !existsSync(replies);
  try {
    // What was said once is not repeated by a session that comes back: by then somebody else may have taken over.
    const isReopened = port !== undefined || hadLog === true;
    const takeOverLease = plan.takeOverLease === true && !isReopened;
    const description = { ...describeStack({ ...plan, takeOverLease }), isLogReopened: hadLog };
    const stack = await buildStack(description, { ...tools, ...attached, cache: attached?.cache });
    open.push(async () => {
      left = await stack.close();
    });
    refuseIfEnded(tools.ending);
    const duplicates = await openDuplicates(replies, tools);
    open.push(() => duplicates.close());
    refuseIfEnded(tools.ending);
    const admit = new PeerPolicy({ networks: plan.allow });
    const programs = [nfs3Program(stack.top), mount3Program({ filesystem: stack.top }), ...stack.programs];
    const server = new RpcServer({ programs, ...tools, admit, duplicates });
    let repeatableMs = replyGraceMs;
    open.push(() => server.close(replyGraceMs, repeatableMs));
    const listening = await openListeners({ rule: plan.listen, port, listener, server, admit, ...tools });
    open.push(() => listening.close());
    return {
      place: listening.place,
      stats: async () => {
        const [writeBack, chain] = await Promise.all([stack.writeBack?.status(), stack.chain.status()]);
        return { server: server.stats(), layers: stack.stats(), writeBack, chain };
      },
      run: (task, tell) => void runTask(stack, task, tell),
      setFiles: (files) => stack.setFiles(files),
      close: async (isLast) => {
        if (isLast === true) repeatableMs = lastReplyGraceMs;
        await closeEach(open.reverse());
        return left;
      },
    };
  } catch (error) {
    const isClean = await closeAfterError(open.reverse(), tools.log);
    // A start that failed leaves nothing where nothing was.
    if (replies !== undefined && isFirstUse) rmSync(replies, { force: true });
    if (tools.ending?.aborted !== true) throw error;
    throw new OpeningEnded(left, isClean, error instanceof OpeningEnded ? error.rest : undefined);
  }
}

/** Replies to non-idempotent calls survive a restart where the session has an address of its own; port 0 is another each time. */
function repliesFile({ listen: { host, port }, stateDirectory }: SessionPlan): string | undefined {
  if (port === 0) return undefined;
  return join(stateDirectory, `replies-${host.replaceAll(/[^0-9a-zA-Z.]/g, '_')}-${port ?? 2049}`);
}

function openDuplicates(path: string | undefined, { clock, log }: DataPathTools): Promise<DuplicateRequestCache> {
  if (path === undefined) return Promise.resolve(new DuplicateRequestCache({ clock }));
  return DuplicateRequestCache.open(path, { clock, log });
}
