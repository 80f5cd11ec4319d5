/** The daemon's control API. */

export type { ConfigurationReport, DaemonReport, ExplainRequest, LostEvents, TaskView } from './schemas.ts';
export { ApiServer, type ApiServerOptions } from './server.ts';
export type { ApiServices } from './services.ts';
export { socketPath } from './socket-path.ts';
