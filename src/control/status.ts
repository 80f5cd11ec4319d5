/** What a Viaduct process says about itself. */
import type { SessionStatus } from '../sessions/mod.ts';

export interface ProcessStatus {
  readonly pid: number;
  readonly version: string;
  /** `serve`, `proxy`, `mount`. */
  readonly command: string;
  readonly startedAt: string;
  readonly residentBytes: number;
  readonly sessions: readonly SessionStatus[];
}
