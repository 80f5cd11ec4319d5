/** What the API shows and does beside sessions. Whoever puts the daemon together provides it; all of it rejects with ViaductErrors. */
import type { Explanation, PolicyDescription } from '../../policy/mod.ts';
import type { Reloaded, SessionManager } from '../contract.ts';
import type { ConfigurationReport, DaemonReport, ExplainRequest } from './schemas.ts';

export interface ApiServices {
  readonly manager: SessionManager;
  daemon(): DaemonReport;
  /** Models, and the policies of the configuration, by name. */
  policies(): readonly PolicyDescription[];
  explain(request: ExplainRequest): Promise<Explanation>;
  /** Without secrets. */
  configuration(): ConfigurationReport;
  /** Reads the configuration again. What is wrong with it changes nothing. */
  reload(): Promise<Reloaded>;
}
