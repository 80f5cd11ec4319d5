/** The client side of MOUNT version 3. Statuses are values; connection and RPC failures reject as `RpcCaller.call` says. */
import type { CallOptions, RpcCaller } from '../rpc/mod.ts';
import { type ExportEntry, type MountEntry, type MountReply, mountProgram, procedures } from './procedures.ts';

export const mountClient = {
  /** The handle of a directory of the server. */
  mnt(caller: RpcCaller, path: string, options: CallOptions): Promise<MountReply> {
    return caller.call(mountProgram, procedures.mnt, path, options);
  },
  umnt(caller: RpcCaller, path: string, options: CallOptions): Promise<void> {
    return caller.call(mountProgram, procedures.umnt, path, options);
  },
  umntall(caller: RpcCaller, options: CallOptions): Promise<void> {
    return caller.call(mountProgram, procedures.umntall, undefined, options);
  },
  dump(caller: RpcCaller, options: CallOptions): Promise<readonly MountEntry[]> {
    return caller.call(mountProgram, procedures.dump, undefined, options);
  },
  export(caller: RpcCaller, options: CallOptions): Promise<readonly ExportEntry[]> {
    return caller.call(mountProgram, procedures.export, undefined, options);
  },
} as const;
