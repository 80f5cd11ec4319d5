/**
 * Makes files for callers: CREATE, MKDIR, SYMLINK and MKNOD (RFC 1813 3.3.8 to 3.3.11) after all checks.
 *
 * As user 0 the kernel makes the file as the caller (actingAs): so it has the right owner from its birth, a directory's
 * set-group-ID bit and default ACL count, and no change of owner could hit a file that somebody put in its place.
 */
import { constants } from 'node:fs';
import {
  actingAs,
  changeMode,
  changeOwner,
  extendedAttribute,
  makeDirectoryAt,
  makeNodeAt,
  O_PATH,
  openAt,
  symbolicLinkAt,
} from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { typeBits } from './attributes.ts';
import type { Export } from './export.ts';
import type { OpenFile } from './open-file.ts';
import { apply } from './set-attributes.ts';

const { Status, FileType } = vfs;

export interface NewFile {
  readonly type: vfs.FileTypeCode;
  readonly set: vfs.SetAttributes;
  /** Used if `set` has none. */
  readonly mode: number;
  readonly target?: string;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
}

export interface MadeFile {
  readonly file: OpenFile;
  /** Something was set after its birth: the file itself must be synced too, not only its directory. */
  readonly touched: boolean;
}

/** EXIST if the name is there, also if it came this moment. */
export function makeFile(
  exported: Export,
  parent: OpenFile,
  name: vfs.Name,
  plan: NewFile,
  who: vfs.Credential,
): MadeFile | vfs.Failure {
  const mode = (plan.set.mode ?? plan.mode) & 0o7777;
  const { privileged, own } = exported.parts;
  const birth = (): number => bear(parent.pathFd, name, plan, mode & 0o777);
  let made = privileged && (who.uid !== own.uid || who.gid !== own.gid) ? actingAs(who, own, birth) : birth();
  if (made < 0) return exported.failure(made);
  if (plan.type !== FileType.REGULAR) made = openAt(parent.pathFd, name, O_PATH);
  if (made < 0) return exported.failure(made);
  const file = exported.enter(made, parent, name, plan.type === FileType.REGULAR);
  if (typeof file === 'number') return file;
  const born = exported.attributes(file);
  if (typeof born === 'number') return born;
  // Somebody who may write to the directory has put another file in its place: leave that one alone.
  if (born.type !== plan.type || (privileged && born.uid !== who.uid)) return Status.IO;
  return finish(exported, parent, file, born, plan, mode, who);
}

/** A descriptor for a regular file, 0 for others, or a negative errno. */
function bear(directoryFd: number, name: vfs.Name, plan: NewFile, mode: number): number {
  switch (plan.type) {
    case FileType.REGULAR:
      return openAt(directoryFd, name, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, mode);
    case FileType.DIRECTORY:
      return makeDirectoryAt(directoryFd, name, mode);
    case FileType.SYMLINK:
      return symbolicLinkAt(plan.target ?? '', directoryFd, name);
    default:
      return makeNodeAt(directoryFd, name, typeBits[plan.type] | mode, plan.deviceMajor ?? 0, plan.deviceMinor ?? 0);
  }
}

/** What could not be given at birth: bits that the umask took, set-id bits, size, times, and another owner by user 0. */
function finish(
  exported: Export,
  parent: OpenFile,
  file: OpenFile,
  born: vfs.Attributes,
  plan: NewFile,
  mode: number,
  who: vfs.Credential,
): MadeFile | vfs.Failure {
  let touched = false;
  const result = finishOwnerAndMode(exported, parent, file, born, plan, mode, who);
  if (result < 0) return exported.failure(result);
  touched = result > 0;
  const { size, atime, mtime } = plan.set;
  const rest = { size: plan.type === FileType.REGULAR && size !== 0 ? size : undefined, atime, mtime };
  if (rest.size !== undefined || atime !== undefined || mtime !== undefined) {
    touched = true;
    const status = apply(exported, file, born, rest, who);
    if (status !== 0) return status;
  }
  return { file, touched };
}

/** 1 if something was changed, 0 if not, or a negative errno. */
function finishOwnerAndMode(
  exported: Export,
  parent: OpenFile,
  file: OpenFile,
  born: vfs.Attributes,
  plan: NewFile,
  mode: number,
  who: vfs.Credential,
): number {
  const { privileged, umask } = exported.parts;
  let touched = 0;
  const uid = plan.set.uid ?? born.uid;
  const gid = plan.set.gid ?? born.gid;
  if (privileged && who.uid === 0 && (uid !== born.uid || gid !== born.gid)) {
    const result = changeOwner(file.pathFd, uid, gid);
    if (result < 0) return result;
    touched = 1;
  }
  if (plan.type === FileType.SYMLINK) return touched;
  // A directory hands its set-group-ID bit down; a file has it only if the caller is in its group.
  const inherited = plan.type === FileType.DIRECTORY ? born.mode & 0o2000 : 0;
  const foreign = who.uid !== 0 && plan.type !== FileType.DIRECTORY && !vfs.inGroup(who, gid);
  let wanted = (mode & (foreign ? 0o5777 : 0o7777)) | inherited;
  if (wanted === born.mode) return touched;
  // With a default ACL the kernel has chosen the permission bits, and took no notice of the umask.
  if ((mode & umask) === 0 || hasDefaultAcl(parent)) wanted = (wanted & 0o7000) | (born.mode & 0o777);
  if (wanted === born.mode) return touched;
  const result = changeMode(file.pathFd, wanted);
  return result < 0 ? result : 1;
}

function hasDefaultAcl(directory: OpenFile): boolean {
  return typeof extendedAttribute(directory.pathFd, 'system.posix_acl_default') !== 'number';
}
