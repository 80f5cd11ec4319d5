/** Floor 3: MOUNT version 3 (RFC 1813 appendix I), server and client. */
export { mountClient } from './client.ts';
export {
  type ExportEntry,
  type MountEntry,
  type MountFailure,
  type MountReply,
  MountStatus,
  type MountStatusCode,
  mountProgram,
  mountStatusName,
} from './procedures.ts';
export { type Mount3ProgramOptions, mount3Program } from './program.ts';
