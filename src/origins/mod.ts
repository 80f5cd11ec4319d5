/** Floor 4: where images are. */
export { type DirectoryAddress, formatOrigin, type NfsAddress, type OriginAddress, parseOrigin } from './address.ts';
export { type DirectoryOrigin, type DirectoryOriginOptions, openDirectoryOrigin } from './directory/mod.ts';
export {
  type NfsOrigin,
  type NfsOriginListener,
  type NfsOriginOptions,
  type NfsOriginStats,
  openNfsOrigin,
} from './nfs.ts';
export type { LeaseWish, LostLease, OriginChannel } from './nfs-channel.ts';
export type { NfsChannelData } from './nfs-channel-data.ts';
