/**
 * From the path of a MNT call to a directory of the export, by LOOKUP with the caller's own credential.
 *
 * `//`, a trailing `/` and `.` mean nothing, and neither does a missing `/` at the start: QEMU mounts the empty path for
 * nfs://host/file. `..` goes up by what was walked, so never above the export. Symbolic links are not followed: their
 * targets are for the client to read.
 */
import { limits } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { type MountFailure, MountStatus } from './procedures.ts';

export type WalkResult = { readonly status: 0; readonly object: vfs.FileHandle } | { readonly status: MountFailure };

export async function walk(filesystem: vfs.Filesystem, call: vfs.Call, path: string): Promise<WalkResult> {
  if (path.length > limits.pathBytes) return { status: MountStatus.NAMETOOLONG };
  if (path.includes('\0')) return { status: MountStatus.INVAL };
  const above: vfs.FileHandle[] = [];
  let object = filesystem.root;
  let directory = true;
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (!directory) return { status: MountStatus.NOTDIR };
    if (name === '..') {
      const parent = above.pop();
      if (parent === undefined) return { status: MountStatus.ACCES };
      object = parent;
      continue;
    }
    if (name.length > limits.nameBytes) return { status: MountStatus.NAMETOOLONG };
    const found = await filesystem.lookup(call, { directory: object, name });
    if (found.status !== 0) return { status: mountFailure(found.status) };
    above.push(object);
    object = found.object;
    const type = found.attributes?.type ?? (await typeOf(filesystem, call, object));
    directory = type === vfs.FileType.DIRECTORY;
  }
  if (!directory) return { status: MountStatus.NOTDIR };
  const root = await filesystem.getattr(call, { object });
  return root.status === 0 ? { status: 0, object } : { status: mountFailure(root.status) };
}

async function typeOf(
  filesystem: vfs.Filesystem,
  call: vfs.Call,
  object: vfs.FileHandle,
): Promise<vfs.FileTypeCode | undefined> {
  const reply = await filesystem.getattr(call, { object });
  return reply.status === 0 ? reply.attributes.type : undefined;
}

/** mountstat3 has fewer statuses than nfsstat3. */
function mountFailure(status: vfs.Failure): MountFailure {
  switch (status) {
    case vfs.Status.PERM:
    case vfs.Status.NOENT:
    case vfs.Status.IO:
    case vfs.Status.ACCES:
    case vfs.Status.NOTDIR:
    case vfs.Status.INVAL:
    case vfs.Status.NAMETOOLONG:
    case vfs.Status.NOTSUPP:
      return status;
    case vfs.Status.STALE:
    case vfs.Status.BADHANDLE:
      return MountStatus.NOENT;
    default:
      return MountStatus.SERVERFAULT;
  }
}
