/** The daemon's API as typed calls: what our own commands use. Without the server: it loads neither fastify nor the manager. */
export { DaemonClient, type FollowOptions } from './client.ts';
export { connectDaemon, type DaemonAddress } from './connect.ts';
