/** What a Viaduct process says about itself. */
import type { SessionStatus } from '../sessions/mod.ts';

export interface ProcessStatus {
  readonly pid: number;
  readonly version: string;
  /** `serve`, `proxy`, `mount`. */
  readonly command: string;
  readonly startedAt: string;
  readonly residentBytes: number;
  /** Of `mount`: where the kernel has it. */
  readonly mountPoint: string | undefined;
  readonly sessions: readonly SessionStatus[];
}
