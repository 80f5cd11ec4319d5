/**
 * One session of the daemon: its row, what runs of it, and what is told of both.
 *
 *     row (store) ─┐
 *     running ─────┼──► state ──► view        what it is busy with (create, close, reopen): one thing at a time
 *     trouble ─────┘
 *
 * Invariants: `running` is what is in the pool, at most one at a time; who is busy with a session ends an opening that was under way by
 * itself, before anything of it is in the pool.
 */
import type { Log, Timer } from '../../base/mod.ts';
import { limits, ViaductError } from '../../base/mod.ts';
import type { ErrorRecord, ListeningPlace, RunningSession, SessionStatus } from '../../sessions/mod.ts';
import type { SessionDetail, SessionState, SessionView } from '../contract.ts';
import type { StoredSession } from './session-store.ts';

export interface KeptLine {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: object;
}

export type Errand = 'creating' | 'closing' | 'opening';

export class ManagedSession {
  row: StoredSession;
  running: RunningSession | undefined;
  /** Why it is not running though nothing of it is in the pool. */
  trouble: ErrorRecord | undefined;
  /** Keys that hold only when it is opened again. */
  pending: readonly string[] = [];
  /** What was told of it last. */
  toldState: SessionState | undefined;
  readonly log: Log;
  /** When it is tried again. */
  retry: Timer | undefined;
  /** What it is opened by, without anybody having asked for it. */
  opening: symbol | undefined;
  readonly #lines: KeptLine[] = [];
  readonly #waiting: (() => void)[] = [];
  #errand: Errand | undefined;

  constructor(row: StoredSession, log: Log) {
    this.row = row;
    const at = (level: keyof Log) => (fields: object, message: string) => {
      if (level !== 'debug') this.#keep({ level, message, fields });
      log[level]({ session: row.id, name: row.name, ...fields }, message);
    };
    this.log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }

  get id(): string {
    return this.row.id;
  }

  get name(): string {
    return this.row.name;
  }

  /** The last that it logged. */
  get lines(): readonly KeptLine[] {
    return this.#lines;
  }

  get errand(): Errand | undefined {
    return this.#errand;
  }

  /** Whoever creates, closes or reopens it. Throws SESSION_BUSY if somebody does already. */
  begin(errand: Errand): void {
    if (this.#errand !== undefined) {
      throw new ViaductError('SESSION_BUSY', {
        cause: `session ${this.name} is ${this.#errand === 'opening' ? 'being opened' : this.#errand}.`,
        remedy: 'Ask again in a moment; `viaduct session show` says how far it is.',
      });
    }
    this.#errand = errand;
    this.opening = undefined;
  }

  done(): void {
    this.#errand = undefined;
    for (const action of this.#waiting.splice(0)) action();
  }

  /** Once nobody is busy with it; one that is gone by then has nothing to do. */
  whenFree(action: () => void): void {
    this.#waiting.push(action);
  }

  state(): SessionState {
    if (this.#errand === 'creating' || this.#errand === 'closing') return this.#errand;
    if (this.row.state === 'failed' || this.row.state === 'closed') return this.row.state;
    if (this.running === undefined) return this.trouble === undefined ? 'starting' : 'waiting';
    const { state } = this.running.status();
    return state === 'ended' ? 'closing' : state;
  }

  place(): ListeningPlace | undefined {
    return this.running?.status().place ?? this.row.place;
  }

  view(): SessionView {
    const { id, name, row } = this;
    const status = this.running?.status();
    const place = this.place();
    return {
      ...{ id, name, kind: row.plan.kind, origin: row.request.origin, policy: row.resolved.policy },
      ...(row.resolved.rule === undefined ? {} : { rule: row.resolved.rule }),
      state: this.state(),
      ...(place === undefined ? {} : { place, url: urlOf(place), ...qemuOf(place) }),
      isTemporary: row.isTemporary,
      createdAt: new Date(row.createdMs).toISOString(),
      restarts: status?.restarts ?? 0,
      lastError: row.error ?? this.trouble ?? status?.lastError,
    };
  }

  async detail(): Promise<SessionDetail> {
    const status = await this.status();
    return { ...this.view(), settings: this.row.resolved.settings, ...(status === undefined ? {} : { status }) };
  }

  async status(): Promise<SessionStatus | undefined> {
    return await this.running?.stats().catch(() => undefined);
  }

  #keep(line: KeptLine): void {
    this.#lines.push(line);
    if (this.#lines.length > limits.reportedLogLines) this.#lines.shift();
  }
}

/** Where a client finds the export, as libnfs writes it. */
export function urlOf({ host, port, portmapper }: ListeningPlace): string {
  const authority = host.includes(':') ? `[${host}]` : host;
  return portmapper === 'none' ? `nfs://${authority}/?nfsport=${port}&mountport=${port}` : `nfs://${authority}/`;
}

/** QEMU mounts what stands before the last slash: of a file in the root that must be the root itself. */
function qemuOf(place: ListeningPlace): Pick<SessionView, 'qemu'> {
  return place.portmapper === 'none' ? {} : { qemu: `${urlOf(place)}/` };
}
