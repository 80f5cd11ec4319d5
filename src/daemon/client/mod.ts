/** The daemon's API as typed calls: what our own commands use. */

export { DaemonClient, type FollowOptions } from './client.ts';
export { connectDaemon, type DaemonAddress } from './connect.ts';
