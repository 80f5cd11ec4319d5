/** SETATTR (RFC 1813 3.3.2) with the rules of chmod(2), chown(2), truncate(2) and utimensat(2) for the caller. */
import { chain, type Eventual, limits } from '../../base/mod.ts';
import {
  changeMode,
  changeOwner,
  changeTimes,
  type TimeToSet,
  truncateFile,
  UTIME_NOW,
  UTIME_OMIT,
} from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Export } from './export.ts';
import type { OpenFile } from './open-file.ts';
import { isOwner, mayWrite, type Subject } from './permission.ts';

const { Status, FileType } = vfs;
const unchanged = 0xffffffff;

export function setattr(exported: Export, call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
  const file = exported.find(args.object);
  if (typeof file === 'number') return { status: file, wcc: {} };
  file.use();
  const changed = file.turns.take(() => setInTurn(exported, file, call, args));
  return chain(changed, (reply) => {
    if (reply.status !== 0) {
      file.release();
      return reply;
    }
    return exported.persist([file]).then((status) => {
      file.release();
      return { status, wcc: reply.wcc };
    });
  });
}

function setInTurn(exported: Export, file: OpenFile, call: vfs.Call, args: vfs.SetattrArguments): vfs.WccReply {
  const before = exported.attributes(file);
  if (typeof before === 'number') return { status: before, wcc: {} };
  const { set, guard, expected } = args;
  let status: vfs.Failure | 0 = 0;
  if (exported.parts.readOnly) status = Status.ROFS;
  else if (guard !== undefined && !vfs.timeEquals(guard, before.ctime)) status = Status.NOT_SYNC;
  else if (!exported.chains.allows(args.object, call.fencing, expected, before)) status = Status.NOT_SYNC;
  else status = mayApply(exported.subject(file, before, call.credential), set, call.credential);
  if (status !== 0) return { status, wcc: exported.wcc(before, file) };
  status = apply(exported, file, before, set, call.credential);
  const wcc = exported.wcc(before, file);
  exported.chains.changed(args.object, call.fencing, expected, before, wcc.after);
  return { status, wcc };
}

/** All checks come before the first change. */
export function mayApply(subject: Subject, set: vfs.SetAttributes, who: vfs.Credential): vfs.Failure | 0 {
  const { attributes } = subject;
  if (set.size !== undefined) {
    if (attributes.type === FileType.DIRECTORY) return Status.ISDIR;
    if (attributes.type !== FileType.REGULAR) return Status.INVAL;
    if (!mayWrite(subject, who)) return Status.ACCES;
    if (set.size > limits.fileBytes) return Status.FBIG;
  }
  const owner = isOwner(attributes, who);
  if (set.mode !== undefined && !owner) return Status.PERM;
  if (set.uid !== undefined && set.uid !== attributes.uid && who.uid !== 0) return Status.PERM;
  if (set.gid !== undefined && set.gid !== attributes.gid && who.uid !== 0) {
    if (!owner || !vfs.inGroup(who, set.gid)) return Status.PERM;
  }
  if (owner) return 0;
  if (typeof set.atime === 'object' || typeof set.mtime === 'object') return Status.PERM;
  if ((set.atime === 'server' || set.mtime === 'server') && !mayWrite(subject, who)) return Status.ACCES;
  return 0;
}

/** To be called in the file's turn. Owner, then mode (a change of owner clears set-id bits), then size, then times (a change of size sets them). */
export function apply(
  exported: Export,
  file: OpenFile,
  before: vfs.Attributes,
  set: vfs.SetAttributes,
  who: vfs.Credential,
): vfs.Failure | 0 {
  const uid = set.uid ?? before.uid;
  const gid = set.gid ?? before.gid;
  const steps = [
    () =>
      uid === before.uid && gid === before.gid
        ? 0
        : changeOwner(file.pathFd, differing(uid, before.uid), differing(gid, before.gid)),
    () => applyMode(file, before, set, gid, who),
    () => applySize(file, before, set, who),
    () => (set.atime === undefined && set.mtime === undefined ? 0 : setTimes(file, set)),
  ];
  for (const step of steps) {
    const result = step();
    if (result < 0) return exported.failure(result);
  }
  return 0;
}

function differing(wanted: number, now: number): number {
  return wanted === now ? unchanged : wanted;
}

function applyMode(
  file: OpenFile,
  before: vfs.Attributes,
  set: vfs.SetAttributes,
  gid: number,
  who: vfs.Credential,
): number {
  if (set.mode === undefined || file.type === FileType.SYMLINK) return 0;
  // chmod(2): the set-group-ID bit only for a group that the caller is in.
  const foreign = who.uid !== 0 && !vfs.inGroup(who, gid) && before.type !== FileType.DIRECTORY;
  return changeMode(file.pathFd, set.mode & (foreign ? 0o5777 : 0o7777));
}

function applySize(file: OpenFile, before: vfs.Attributes, set: vfs.SetAttributes, who: vfs.Credential): number {
  if (set.size === undefined) return 0;
  const fd = file.writer();
  if (fd < 0) return fd;
  const cleared = set.mode === undefined ? dropSetIds(file, before, who) : 0;
  return cleared < 0 ? cleared : truncateFile(fd, set.size);
}

export function setTimes(file: OpenFile, set: vfs.SetAttributes): number {
  return changeTimes(file.pathFd, timeToSet(set.atime), timeToSet(set.mtime));
}

function timeToSet(time: 'server' | vfs.Time | undefined): TimeToSet {
  if (time === undefined) return { seconds: 0, nanoseconds: UTIME_OMIT };
  if (time === 'server') return { seconds: 0, nanoseconds: UTIME_NOW };
  return time;
}

/** What the kernel does when an ordinary user changes a file's bytes; it does not for us as user 0. */
export function dropSetIds(file: OpenFile, before: vfs.Attributes, who: vfs.Credential): number {
  const group = (before.mode & 0o010) !== 0 ? 0o2000 : 0;
  const ids = before.mode & (0o4000 | group);
  return ids === 0 || who.uid === 0 ? 0 : changeMode(file.pathFd, before.mode & ~ids);
}
