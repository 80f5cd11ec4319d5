/** Floor 7: one process, many sessions: the manager, and what reaches it. */
export type * from './contract.ts';
export { type ManagerOptions, openManager, type RunningManager } from './manager.ts';
export { managerConfiguration } from './opening-decision.ts';
export { ApiServer, type ApiServerOptions } from './api/server.ts';
export type { ApiServices } from './api/services.ts';
