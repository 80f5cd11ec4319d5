/** Floor 7: one process, many sessions: the manager, and what reaches it. */

export {
  ApiServer,
  type ApiServerOptions,
  type ApiServices,
  type ConfigurationReport,
  type DaemonReport,
  type ExplainRequest,
  type LostEvents,
  type TaskView,
} from './api/mod.ts';
export { connectDaemon, type DaemonAddress, DaemonClient, type FollowOptions } from './client/mod.ts';
export type * from './contract.ts';
export { type ManagerOptions, openManager, type RunningManager } from './manager.ts';
export { managerConfiguration } from './opening-decision.ts';
