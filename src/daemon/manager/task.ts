/** A task of a session, told of from its begin to its end. */
import { recordOf, type SessionTask, type TaskProgress, type TaskResult } from '../../sessions/mod.ts';
import type { Ground } from './ground.ts';
import type { ManagedSession } from './session.ts';

export async function runTask(
  { events, random }: Pick<Ground, 'events' | 'random'>,
  session: ManagedSession,
  task: SessionTask,
  onProgress?: (progress: TaskProgress) => void,
  taskId = `t-${Buffer.from(random.bytes(new Uint8Array(6))).toString('hex')}`,
): Promise<TaskResult> {
  const about = { session: session.id, task, taskId };
  events.tell({ kind: 'task-started', ...about });
  try {
    const { running } = session;
    const nowhere: TaskResult = { outcome: 'closed', problems: [`the session is ${session.state()}`] };
    const result =
      running === undefined
        ? nowhere
        : await running.run(task, (progress) => {
            events.tell({ kind: 'task-progress', ...about, progress });
            onProgress?.(progress);
          });
    events.tell({ kind: 'task-ended', ...about, result });
    return result;
  } catch (error) {
    events.tell({ kind: 'task-ended', ...about, error: recordOf(error) });
    throw error;
  }
}
