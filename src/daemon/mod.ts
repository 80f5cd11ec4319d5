/** Floor 7: one process, many sessions: the manager, and what reaches it. */

import type { ApiServer, ApiServerOptions } from './api/mod.ts';

export type {
  ApiServices,
  ConfigurationReport,
  DaemonReport,
  ExplainRequest,
  LostEvents,
  TaskView,
} from './api/mod.ts';
export { connectDaemon, type DaemonAddress, DaemonClient, type FollowOptions } from './client/mod.ts';
export type * from './contract.ts';
export { type ManagerOptions, openManager, type RunningManager } from './manager/manager.ts';
export { managerConfiguration } from './manager/opening-decision.ts';

/** The libraries of the API are many: sessions are being opened while they are loaded. */
export async function startApi(options: ApiServerOptions): Promise<ApiServer> {
  const api = await import('./api/mod.ts');
  return await api.ApiServer.start(options);
}
