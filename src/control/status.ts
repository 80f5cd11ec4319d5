/** What a Viaduct process says about itself. */
import type { SessionStatus } from '../sessions/mod.ts';

/** Of a daemon they have names. */
export interface ListedSession extends SessionStatus {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
}

/** A session in the daemon that ends with the process that had it made. */
export interface HeldSession {
  readonly pid: number;
  readonly id: string;
  readonly name: string;
}

export interface ProcessStatus {
  readonly pid: number;
  readonly version: string;
  /** `serve`, `proxy`, `mount`, `daemon`. */
  readonly command: string;
  readonly startedAt: string;
  readonly residentBytes: number;
  /** Of `mount`: where the kernel has it. */
  readonly mountPoint: string | undefined;
  readonly sessions: readonly ListedSession[];
  /** Of a command whose session runs in the daemon: it has none itself. */
  readonly holds?: HeldSession | undefined;
}

/** Of whom nothing more is asked than who it is: quick also of a daemon with a thousand sessions. */
export interface BriefStatus extends Pick<ProcessStatus, 'pid' | 'version' | 'command'> {
  readonly sessions: readonly Pick<ListedSession, 'id' | 'name'>[];
  /** Of a daemon: names of those that a session can have. */
  readonly policies?: readonly string[] | undefined;
}
