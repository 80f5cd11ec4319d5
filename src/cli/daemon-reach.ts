/**
 * Asks the daemon of this user over its Unix socket, by the typed client of its API.
 *
 *     withDaemon ──► DaemonPort ──► the command
 *         └─ nobody there: DAEMON_UNREACHABLE, with how to start one
 */
import { ViaductError } from '../base/mod.ts';
import type { DaemonClient, DaemonReport } from '../daemon/mod.ts';
import type { SessionTask, TaskProgress, TaskResult } from '../sessions/mod.ts';
import { type DaemonPort, daemonGone, noDaemon } from './daemon-port.ts';
import { controlDirectory } from './process-choice.ts';

export async function withDaemon<Value>(use: (daemon: DaemonPort) => Promise<Value>): Promise<Value> {
  // Its libraries are many: other commands begin without them.
  const { connectDaemon } = await import('../daemon/mod.ts');
  const client = await connectDaemon({ runtimeDirectory: controlDirectory() });
  if (client === undefined) throw noDaemon();
  const report = await client.daemon();
  try {
    return await use(portOf(client, report));
  } catch (error) {
    throw error instanceof ViaductError && error.code === 'DAEMON_UNREACHABLE' ? daemonGone(report.pid, error) : error;
  }
}

function portOf(client: DaemonClient, { pid, page }: DaemonReport): DaemonPort {
  return {
    ...{ pid, page },
    list: () => client.sessions(),
    samples: () => client.samples(),
    threads: () => client.threads(),
    show: (session) => client.session(session),
    create: (request) => client.createSession(request),
    reopen: (session) => client.reopenSession(session),
    close: async (session, options) => {
      const { left, ...closed } = await client.closeSession(session, options);
      return left === undefined ? closed : { ...closed, left: { ...left, lostTo: left.lostTo } };
    },
    start: (session, task) => client.startTask(session, task),
    run: (session, task, onProgress) => follow(client, session, task, onProgress),
    configuration: () => client.configuration(),
    policyNames: async () => (await client.policies()).map(({ name }) => name),
  };
}

async function follow(
  client: DaemonClient,
  session: string,
  task: SessionTask,
  onProgress: (progress: TaskProgress) => void = () => {},
): Promise<TaskResult> {
  const id = await client.startTask(session, task);
  for await (const { progress, result, error } of client.followTask(id)) {
    if (result !== undefined) return result;
    if (error !== undefined) throw new ViaductError(error.code, error);
    if (progress !== undefined)
      onProgress({ ...progress, secondsLeft: progress.secondsLeft, problem: progress.problem });
  }
  return { outcome: 'closed', problems: ['the daemon ended before the task did'] };
}
