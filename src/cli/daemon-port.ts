/**
 * The daemon of this user, as commands see it; the typed client of its API is behind it.
 *
 *     withDaemon (daemon-reach.ts) ──► DaemonPort, or an error that says how to start one
 */
import { ViaductError } from '../base/mod.ts';
import type {
  CloseOptions,
  CloseResult,
  DaemonClient,
  DaemonReport,
  SessionRequest,
  SessionSample,
  SessionView,
  ThreadReport,
} from '../daemon/mod.ts';
import type { SessionTask, TaskProgress, TaskResult } from '../sessions/mod.ts';

/** A SessionDetail as it comes over the wire: what is undefined is absent. */
export type ShownSession = Awaited<ReturnType<DaemonClient['session']>>;

export interface DaemonPort {
  readonly pid: number;
  /** Undefined: its API does not listen on TCP. */
  readonly page: DaemonReport['page'];
  list(): Promise<readonly SessionView[]>;
  samples(): Promise<readonly SessionSample[]>;
  threads(): Promise<readonly ThreadReport[]>;
  show(session: string): Promise<ShownSession>;
  create(request: SessionRequest): Promise<SessionView>;
  reopen(session: string): Promise<SessionView>;
  close(session: string, options?: CloseOptions): Promise<CloseResult>;
  /** Begins it; answers its id. */
  start(session: string, task: SessionTask): Promise<string>;
  run(session: string, task: SessionTask, onProgress?: (progress: TaskProgress) => void): Promise<TaskResult>;
  /** The configuration that holds, as it is written, and its file. */
  configuration(): Promise<{ readonly file?: string | undefined; readonly configuration: unknown }>;
  policyNames(): Promise<readonly string[]>;
}

export function noDaemon(): ViaductError {
  return new ViaductError('DAEMON_UNREACHABLE', {
    cause: 'no daemon of this user runs.',
    remedy:
      'Start one: `viaduct daemon` (or `systemctl start viaduct`, where it is installed as a service); processes of another user are reached as that user.',
  });
}

/** While it was asked. */
export function daemonGone(pid: number, from?: unknown): ViaductError {
  return new ViaductError('DAEMON_UNREACHABLE', {
    cause: `the daemon (process ${pid}) has ended, or hung up, before it was done.`,
    remedy:
      'What it accepted is safe: changes that the origin does not have are in the logs of their sessions, and go on when it is started again (`viaduct daemon`). Then ask again.',
    from,
  });
}
