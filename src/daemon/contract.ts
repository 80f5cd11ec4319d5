/**
 * What the parts of the daemon agree on: what a client asks for, what it is told, and who does it. All of it but `SessionManager` is plain
 * data, as the API gives it.
 *
 *     HTTP API, command line, page ──► SessionManager ──► SessionStore (SQLite)
 *                                            │              └─► WorkerPool ──► sessions
 *                                            └─ events ──► SSE, `viaduct top`, log
 */
import type {
  ErrorRecord,
  LeftBehind,
  ListeningPlace,
  SessionStatus,
  SessionTask,
  TaskProgress,
  TaskResult,
} from '../sessions/mod.ts';

/** In the vocabulary of viaduct.yaml: keys with dashes, sizes as `20G`, times as `5s`. */
export type PolicyText = Readonly<Record<string, unknown>>;

export interface SessionRequest {
  /** Unique among the sessions that are open. Default: made from the origin. */
  readonly name?: string | undefined;
  /** A directory, an `nfs://` URL, or the name of an origin in viaduct.yaml, with a path: `store:/golden`. */
  readonly origin: string;
  /** Default: `proxy`. */
  readonly kind?: 'serve' | 'proxy' | undefined;
  /** ADDR or ADDR:PORT. Default: the next free address of the configured pool. */
  readonly listen?: string | undefined;
  /** The name of a policy. Default: what the rules say of the origin's path, else the configured default. */
  readonly policy?: string | undefined;
  /** Changes to that policy for this session. */
  readonly settings?: PolicyText | undefined;
  /** The name of a cache in viaduct.yaml; null: none. Default: the first. */
  readonly cache?: string | null | undefined;
  readonly allow?: readonly string[] | undefined;
  readonly squash?: 'none' | 'root' | 'all' | undefined;
  readonly connections?: number | undefined;
  readonly takeOver?: boolean | undefined;
  /** Ends with the daemon, or with the command that asked for it, instead of being opened again. */
  readonly isTemporary?: boolean | undefined;
}

/**
 * `creating`: it is in the store and being opened for the first time; `running`; `waiting`: its worker died, or what it needs is away, and
 * it is opened again; `failed`: it ended by an error and is not opened again until somebody says so; what it wrote is kept; `closing`.
 * `closed`: it was closed with changes kept in its log; `reopen` goes on with them.
 */
export const sessionStates = ['creating', 'starting', 'running', 'waiting', 'failed', 'closing', 'closed'] as const;
export type SessionState = (typeof sessionStates)[number];

/** One setting of a session's policy, and whence it came. */
export interface SettingRow {
  readonly key: string;
  readonly value: string;
  /** `model vm-disk`, `policy build`, `this session`, `default`. */
  readonly from: string;
}

export interface SessionView {
  /** `s-` and eight of a-z2-7. */
  readonly id: string;
  readonly name: string;
  readonly kind: 'serve' | 'proxy';
  readonly origin: string;
  /** The policy's name, and the rule that chose it, if one did. */
  readonly policy: string;
  readonly rule?: string | undefined;
  readonly state: SessionState;
  /** Where it listens; known once it was ready for the first time. */
  readonly place?: ListeningPlace | undefined;
  readonly url?: string | undefined;
  /** The same for QEMU, to put a file's name behind; absent without a portmapper, whose ports QEMU cannot be told. */
  readonly qemu?: string | undefined;
  readonly isTemporary: boolean;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly restarts: number;
  readonly lastError?: ErrorRecord | undefined;
}

export interface SessionDetail extends SessionView {
  readonly settings: readonly SettingRow[];
  /** Absent while its worker cannot say. */
  readonly status?: SessionStatus | undefined;
}

/** See sample.ts. Bytes and counts grow from the session's start. */
export interface SessionSample {
  readonly id: string;
  readonly name: string;
  readonly state: SessionState;
  /** By the daemon's monotonic clock. */
  readonly atMs: number;
  /** False: its worker does not answer at present, and the figures are zeros. */
  readonly isAnswering: boolean;
  /** READs that the cache answered, and that waited for the origin. */
  readonly hits: number;
  readonly misses: number;
  /** Payload to and from clients. */
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** On the connections to the origin. */
  readonly linkInBytes: number;
  readonly linkOutBytes: number;
  readonly prefetchedBytes: number;
  readonly prefetchUsedBytes: number;
  readonly callsInFlight: number;
  /** What the origin does not have yet, and the age of the oldest of it. */
  readonly dirtyBytes: number;
  readonly dirtyFiles: number;
  readonly dirtyAgeMs: number;
  readonly conflicts: number;
  /** 0: it answers. */
  readonly originAwayMs: number;
}

export interface CloseOptions {
  /**
   * What happens with changes that the origin does not have: written back first (write-back; a redirect session's are committed), `keep` in
   * the log on this host, or `discard` (redirect only). Default: the policy's `on-close`.
   */
  readonly changes?: 'write-back' | 'keep' | 'discard' | undefined;
}

export interface CloseResult {
  readonly id: string;
  readonly name: string;
  /** What stays in a dirty log of this host. */
  readonly left?: LeftBehind | undefined;
}

/** Numbered without gaps as long as the daemon runs. */
export interface DaemonEvent {
  readonly number: number;
  /** ISO 8601. */
  readonly time: string;
  readonly kind:
    | 'session-created'
    | 'session-state'
    | 'session-closed'
    | 'task-started'
    | 'task-progress'
    | 'task-ended'
    | 'configuration-loaded'
    | 'configuration-refused'
    | 'worker-restarted';
  readonly session?: string | undefined;
  readonly view?: SessionView | undefined;
  readonly task?: SessionTask | undefined;
  readonly taskId?: string | undefined;
  readonly progress?: TaskProgress | undefined;
  readonly result?: TaskResult | undefined;
  readonly error?: ErrorRecord | undefined;
  /** For people. */
  readonly message?: string | undefined;
}

/** A thread of the daemon: `main`, or a worker. */
export interface ThreadReport {
  readonly name: string;
  readonly sessions: number;
  readonly restarts: number;
  /** Since the last report; undefined: it does not answer. */
  readonly eventLoopDelayMs?: { readonly mean: number; readonly p99: number; readonly max: number } | undefined;
  /** Share of one core since it began, 0 to 1. */
  readonly utilization?: number | undefined;
}

export interface Reloaded {
  /** Sessions that go on with changed file settings, by name. */
  readonly changed: readonly string[];
  /** Sessions whose changes hold only when they are opened again, with what changed. */
  readonly pending: readonly { readonly session: string; readonly keys: readonly string[] }[];
}

/** Names below are ids or names of sessions. All reject with ViaductErrors of the catalogue. */
export interface SessionManager {
  /** Resolves when it listens. If it can't be opened nothing is left of it. */
  create(request: SessionRequest): Promise<SessionView>;
  list(): readonly SessionView[];
  show(session: string): Promise<SessionDetail>;
  /** Of all sessions, each asked once, at the same time. */
  samples(): Promise<readonly SessionSample[]>;
  /** Of a failed one: opens it again. */
  reopen(session: string): Promise<SessionView>;
  /** `taskId`: what its events call the task; default: a new name. */
  run(
    session: string,
    task: SessionTask,
    onProgress?: (progress: TaskProgress) => void,
    taskId?: string,
  ): Promise<TaskResult>;
  close(session: string, options?: CloseOptions): Promise<CloseResult>;
  /** Called at once with each event from now on; must not throw. Returns what ends it. */
  subscribe(listener: (event: DaemonEvent) => void): () => void;
  threads(): Promise<readonly ThreadReport[]>;
}
