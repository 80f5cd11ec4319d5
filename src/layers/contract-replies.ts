/** The rules of vfs/filesystem.ts for replies: each answers what is wrong, or undefined. */
import { limits } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { type Attributes, isKnownStatus, type Time, type WccData } from '../vfs/mod.ts';
import {
  checkHandle,
  checkName,
  checkSize,
  checkVerifier,
  payloadBytes,
  type Violation,
} from './contract-arguments.ts';

type Optional<T> = T | undefined;

export function checkStatus(status: number): Violation {
  return isKnownStatus(status) ? undefined : `the status ${status} is not known`;
}

export function checkAttributes(attributes: Optional<Attributes>): Violation {
  if (attributes === undefined) return undefined;
  const { type, mode, nlink, uid, gid, size, used } = attributes;
  if (!(type >= 1 && type <= 7)) return `the file type is ${type}`;
  if (!(mode >= 0 && mode <= 0o7777)) return `mode is ${mode.toString(8)}`;
  if (!isUint32(uid) || !isUint32(gid) || !isUint32(nlink)) return `uid, gid or nlink is not a uint32`;
  return (
    checkSize('size', size) ??
    checkSize('used', used) ??
    checkTime(attributes.atime) ??
    checkTime(attributes.mtime) ??
    checkTime(attributes.ctime)
  );
}

export function checkAttributesReply(reply: { status: number; attributes?: Optional<Attributes> }): Violation {
  return checkStatus(reply.status) ?? checkAttributes(reply.attributes);
}

export function checkWccReply(reply: { status: number; wcc: WccData }): Violation {
  return checkStatus(reply.status) ?? checkWcc(reply.wcc);
}

export function checkLookup(reply: fs.LookupReply): Violation {
  const wrong = checkStatus(reply.status) ?? checkAttributes(reply.directoryAttributes);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  return checkHandle(reply.object) ?? checkAttributes(reply.attributes);
}

export function checkAccess(reply: fs.AccessReply, args: fs.AccessArguments): Violation {
  const wrong = checkAttributesReply(reply);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  const extra = reply.access & ~args.access;
  return extra === 0 ? undefined : `access bits ${extra} were not asked for`;
}

export function checkReadlink(reply: fs.ReadlinkReply): Violation {
  const wrong = checkAttributesReply(reply);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  const { length } = reply.target;
  return length > 0 && length <= limits.pathBytes ? undefined : `a link's path has ${length} bytes`;
}

export function checkRead(reply: fs.ReadReply, args: fs.ReadArguments): Violation {
  const wrong = checkAttributesReply(reply);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  const { count, data, eof, attributes } = reply;
  const bytes = payloadBytes(data);
  if (bytes !== count) return `count is ${count} and the slices hold ${bytes} bytes`;
  if (count > args.count) return `${count} bytes were answered and ${args.count} asked for`;
  // A short READ is legal, but an empty one that is not the end would make every client loop.
  if (count === 0 && args.count > 0 && !eof) return 'a READ of some bytes answered none and no end of file';
  if (attributes === undefined || args.count === 0) return undefined;
  // The attributes are those after the READ: a file may have grown since, or shrunk.
  const end = args.offset + count;
  if (count > 0 && end > attributes.size) return `bytes up to ${end} were read of a file of ${attributes.size}`;
  if (eof !== end >= attributes.size && count > 0) return `eof is ${eof} at ${end} of ${attributes.size}`;
  return undefined;
}

export function checkWrite(reply: fs.WriteReply, args: fs.WriteArguments): Violation {
  const wrong = checkWccReply(reply);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  if (reply.count > args.count) return `${reply.count} bytes were taken and ${args.count} sent`;
  if (reply.count === 0 && args.count > 0) return 'a WRITE took nothing';
  if (reply.committed < args.stable) return `committed is ${reply.committed} and ${args.stable} was asked for`;
  return checkVerifier(reply.verifier);
}

export function checkCreate(reply: fs.CreateReply): Violation {
  const wrong = checkStatus(reply.status) ?? checkWcc(reply.directoryWcc);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  return (reply.object === undefined ? undefined : checkHandle(reply.object)) ?? checkAttributes(reply.attributes);
}

export function checkRemove(reply: fs.RemoveReply): Violation {
  return checkStatus(reply.status) ?? checkWcc(reply.directoryWcc);
}

export function checkRename(reply: fs.RenameReply): Violation {
  return checkStatus(reply.status) ?? checkWcc(reply.fromWcc) ?? checkWcc(reply.toWcc);
}

export function checkLink(reply: fs.LinkReply): Violation {
  return checkAttributesReply(reply) ?? checkWcc(reply.directoryWcc);
}

export function checkReaddir(reply: fs.ReaddirReply<fs.DirectoryEntryPlus>, args: fs.ReaddirArguments): Violation {
  const wrong = checkStatus(reply.status) ?? checkAttributes(reply.directoryAttributes);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  const { entries, eof, cookieVerifier } = reply;
  if (entries.length === 0 && !eof) return 'a listing has no entries and is not at its end';
  const cookies = new Set<bigint>([args.cookie]);
  for (const { name, cookie, object, attributes } of entries) {
    if (cookies.has(cookie)) return `the cookie ${cookie} appears twice`;
    cookies.add(cookie);
    const bad =
      checkName(name, true) ?? (object === undefined ? undefined : checkHandle(object)) ?? checkAttributes(attributes);
    if (bad !== undefined) return bad;
  }
  return checkVerifier(cookieVerifier);
}

export function checkFsstat(reply: fs.FsstatReply): Violation {
  const wrong = checkAttributesReply(reply);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  const { totalBytes, freeBytes, availableBytes, totalFiles, freeFiles, availableFiles } = reply;
  const figures = [totalBytes, freeBytes, availableBytes, totalFiles, freeFiles, availableFiles];
  return figures.every((figure) => figure >= 0) ? undefined : 'a figure of FSSTAT is negative';
}

export function checkFsinfo(reply: fs.FsinfoReply): Violation {
  const wrong = checkAttributesReply(reply);
  if (wrong !== undefined || reply.status !== 0) return wrong;
  if (reply.readMaximum <= 0 || reply.writeMaximum <= 0) return 'a maximum of FSINFO is not positive';
  return reply.maximumFileBytes > 0 ? undefined : 'the maximum file size is not positive';
}

export function checkCommit(reply: fs.CommitReply): Violation {
  return checkWccReply(reply) ?? (reply.status === 0 ? checkVerifier(reply.verifier) : undefined);
}

function checkWcc({ before, after }: WccData): Violation {
  if (before !== undefined) {
    const wrong = checkSize('size before', before.size) ?? checkTime(before.mtime) ?? checkTime(before.ctime);
    if (wrong !== undefined) return wrong;
  }
  return checkAttributes(after);
}

function checkTime({ seconds, nanoseconds }: Time): Violation {
  return isUint32(seconds) && nanoseconds >= 0 && nanoseconds < 1e9
    ? undefined
    : `time is ${seconds} s ${nanoseconds} ns`;
}

function isUint32(value: number): boolean {
  return value >>> 0 === value;
}
