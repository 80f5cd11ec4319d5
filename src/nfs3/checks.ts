/**
 * What the server refuses before a `Filesystem` sees it: handles, names, sizes and times that break the contract of
 * vfs/filesystem.ts. Each answers the status, or 0.
 *
 * RFC 1813 lists INVAL for some procedures on names and only ACCES for others (3.3.3 to 3.3.15): each check follows its list.
 */
import { limits } from '../base/mod.ts';
import {
  type CreateArguments,
  type Failure,
  type FileHandle,
  FileType,
  type LinkArguments,
  type MkdirArguments,
  type MknodArguments,
  type Name,
  type Place,
  type RenameArguments,
  type SetAttributes,
  type SetattrArguments,
  Status,
  type SymlinkArguments,
  type Time,
  type WriteArguments,
} from '../vfs/mod.ts';

type Verdict = Failure | 0;

/** Handles of more than 64 bytes do not decode; one without bytes names nothing. */
export function checkHandle(handle: FileHandle): Verdict {
  return handle.length === 0 ? Status.BADHANDLE : 0;
}

export function checkObject(args: { readonly object: FileHandle }): Verdict {
  return checkHandle(args.object);
}

export function checkDirectory(args: { readonly directory: FileHandle }): Verdict {
  return checkHandle(args.directory);
}

function checkName(name: Name, malformed: Failure): Verdict {
  if (name.length > limits.nameBytes) return Status.NAMETOOLONG;
  return name.length === 0 || name.includes('/') || name.includes('\0') ? malformed : 0;
}

function isDots(name: Name): boolean {
  return name === '.' || name === '..';
}

/** LOOKUP is the one procedure in which `.` and `..` have a meaning. */
export function checkLookup(args: Place): Verdict {
  return checkHandle(args.directory) || checkName(args.name, Status.ACCES);
}

/** A name that is to be made: `.` and `..` are always there. */
function checkNewName(where: Place, malformed: Failure): Verdict {
  return checkLookupWith(where, malformed) || (isDots(where.name) ? Status.EXIST : 0);
}

function checkLookupWith(where: Place, malformed: Failure): Verdict {
  return checkHandle(where.directory) || checkName(where.name, malformed);
}

/** REMOVE has no INVAL (RFC 1813 3.3.12). */
export function checkRemove(args: Place): Verdict {
  return checkLookup(args) || (isDots(args.name) ? Status.ACCES : 0);
}

/** `.` is INVAL, `..` is EXIST (RFC 1813 3.3.13, implementation). */
export function checkRmdir(args: Place): Verdict {
  const status = checkLookupWith(args, Status.INVAL);
  if (status !== 0) return status;
  return args.name === '.' ? Status.INVAL : args.name === '..' ? Status.EXIST : 0;
}

export function checkRename(args: RenameArguments): Verdict {
  const status = checkLookupWith(args.from, Status.INVAL) || checkLookupWith(args.to, Status.INVAL);
  return status || (isDots(args.from.name) || isDots(args.to.name) ? Status.INVAL : 0);
}

export function checkLink(args: LinkArguments): Verdict {
  return checkHandle(args.object) || checkNewName(args.where, Status.INVAL);
}

function isTime(time: Time | 'server' | undefined): boolean {
  return typeof time !== 'object' || time.nanoseconds < 1_000_000_000;
}

function checkSet(set: SetAttributes): Verdict {
  if (set.size !== undefined && set.size > limits.fileBytes) return Status.FBIG;
  return isTime(set.atime) && isTime(set.mtime) ? 0 : Status.INVAL;
}

export function checkSetattr(args: SetattrArguments): Verdict {
  return checkHandle(args.object) || checkSet(args.set);
}

export function checkCreate(args: CreateArguments): Verdict {
  return checkNewName(args.where, Status.ACCES) || (args.how.mode === 'exclusive' ? 0 : checkSet(args.how.set));
}

export function checkMkdir(args: MkdirArguments): Verdict {
  return checkNewName(args.where, Status.ACCES) || checkSet(args.set);
}

export function checkSymlink(args: SymlinkArguments): Verdict {
  const status = checkMkdir(args);
  if (status !== 0) return status;
  if (args.target.length > limits.pathBytes) return Status.NAMETOOLONG;
  return args.target.length === 0 || args.target.includes('\0') ? Status.INVAL : 0;
}

/** Regular files, directories and links are not for MKNOD (RFC 1813 3.3.11). */
export function checkMknod(args: MknodArguments): Verdict {
  const { type } = args;
  const ordinary = type === FileType.REGULAR || type === FileType.DIRECTORY || type === FileType.SYMLINK;
  return checkMkdir(args) || (ordinary ? Status.BADTYPE : 0);
}

/** `count` and the length of the data say the same twice (RFC 1813 3.3.7); a write may not pass the largest offset. */
export function checkWrite(args: WriteArguments): Verdict {
  if (args.object.length === 0) return Status.BADHANDLE;
  let length = 0;
  for (let i = 0; i < args.data.length; i++) length += args.data[i]!.length;
  if (length !== args.count) return Status.INVAL;
  return args.offset + args.count > limits.fileBytes ? Status.FBIG : 0;
}
