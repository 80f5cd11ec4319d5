/** A session's own refusal of changes: every mutating call is ROFS, and ACCESS never grants what would change something. */
import type { Eventual } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';

const { Access, Status } = vfs;
export const changing = Access.MODIFY | Access.EXTEND | Access.DELETE;

export const refusedWcc: vfs.WccReply & { readonly status: vfs.Failure } = { status: Status.ROFS, wcc: {} };
export const refusedName = { status: Status.ROFS, directoryWcc: {} } as const;
export const refusedRename = { status: Status.ROFS, fromWcc: {}, toWcc: {} } as const;

export class ReadOnly extends vfs.ForwardingFilesystem {
  override setattr(): Eventual<vfs.WccReply> {
    return refusedWcc;
  }
  override access(call: vfs.Call, args: vfs.AccessArguments): Eventual<vfs.AccessReply> {
    return super.access(call, { object: args.object, access: args.access & ~changing });
  }
  override write(): Eventual<vfs.WriteReply> {
    return refusedWcc;
  }
  override create(): Eventual<vfs.CreateReply> {
    return refusedName;
  }
  override mkdir(): Eventual<vfs.CreateReply> {
    return refusedName;
  }
  override symlink(): Eventual<vfs.CreateReply> {
    return refusedName;
  }
  override mknod(): Eventual<vfs.CreateReply> {
    return refusedName;
  }
  override remove(): Eventual<vfs.RemoveReply> {
    return refusedName;
  }
  override rmdir(): Eventual<vfs.RemoveReply> {
    return refusedName;
  }
  override rename(): Eventual<vfs.RenameReply> {
    return refusedRename;
  }
  override link(): Eventual<vfs.LinkReply> {
    return refusedName;
  }
}
