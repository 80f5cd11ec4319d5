/**
 * Results of calls that were sent more than once. The first sending may have been executed without its reply arriving; the second
 * then meets its work: EXIST, NOENT, NOT_SYNC. Here the state at the origin decides, as far as it can be told:
 *
 *     CREATE guarded, MKDIR, MKNOD   EXIST      success if what is there looks just made, as asked, by the caller
 *     SYMLINK                        EXIST      success if it is a link to the same target
 *     LINK                           EXIST      success if the name is that file
 *     REMOVE, RMDIR                  NOENT      success: the name is gone
 *     RENAME                         NOENT      success if the old name is gone and the new one is there
 *     SETATTR with a guard           NOT_SYNC   success if the attributes are as asked
 *
 * Exclusive CREATE needs none of this: its verifier makes it repeatable (RFC 1813 3.3.8).
 */
import * as vfs from '../vfs/mod.ts';

const { Status, FileType } = vfs;

type Made = (attributes: vfs.Attributes, object: vfs.FileHandle) => boolean | Promise<boolean>;

async function find(
  origin: vfs.Filesystem,
  call: vfs.Call,
  where: vfs.Place,
): Promise<{ object: vfs.FileHandle; attributes: vfs.Attributes } | undefined> {
  const found = await origin.lookup(call, where);
  if (found.status !== 0) return undefined;
  if (found.attributes !== undefined) return { object: found.object, attributes: found.attributes };
  const got = await origin.getattr(call, { object: found.object });
  return got.status === 0 ? { object: found.object, attributes: got.attributes } : undefined;
}

/** wcc data of a success: what was before the first sending is not known. */
function afterOnly(wcc: vfs.WccData): vfs.WccData {
  return { after: wcc.after };
}

async function resolveMade(
  origin: vfs.Filesystem,
  call: vfs.Call,
  where: vfs.Place,
  reply: vfs.CreateReply,
  isOurs: Made,
): Promise<vfs.CreateReply> {
  if (reply.status !== Status.EXIST) return reply;
  const found = await find(origin, call, where);
  if (found === undefined || !(await isOurs(found.attributes, found.object))) return reply;
  return { status: 0, ...found, directoryWcc: afterOnly(reply.directoryWcc) };
}

/** Nothing has happened to it since it was made: its content and attributes changed last at one time, unless times were set. */
function isNew(attributes: vfs.Attributes, call: vfs.Call, set: vfs.SetAttributes): boolean {
  const { uid } = call.credential;
  if (uid !== 0 && attributes.uid !== uid) return false;
  return set.mtime !== undefined || vfs.timeEquals(attributes.mtime, attributes.ctime);
}

export function resolveCreate(
  origin: vfs.Filesystem,
  call: vfs.Call,
  args: vfs.CreateArguments,
  reply: vfs.CreateReply,
) {
  const { how } = args;
  if (how.mode !== 'guarded') return reply;
  return resolveMade(origin, call, args.where, reply, (attributes) => {
    const asMade = attributes.type === FileType.REGULAR && attributes.size === (how.set.size ?? 0);
    return asMade && attributes.nlink === 1 && isNew(attributes, call, how.set);
  });
}

export function resolveMkdir(origin: vfs.Filesystem, call: vfs.Call, args: vfs.MkdirArguments, reply: vfs.CreateReply) {
  return resolveMade(origin, call, args.where, reply, (attributes) => {
    return attributes.type === FileType.DIRECTORY && attributes.nlink <= 2 && isNew(attributes, call, args.set);
  });
}

export function resolveMknod(origin: vfs.Filesystem, call: vfs.Call, args: vfs.MknodArguments, reply: vfs.CreateReply) {
  return resolveMade(origin, call, args.where, reply, (attributes) => {
    const device = attributes.deviceMajor === args.deviceMajor && attributes.deviceMinor === args.deviceMinor;
    const special = args.type === FileType.FIFO || args.type === FileType.SOCKET;
    return attributes.type === args.type && (special || device) && isNew(attributes, call, args.set);
  });
}

export function resolveSymlink(
  origin: vfs.Filesystem,
  call: vfs.Call,
  args: vfs.SymlinkArguments,
  reply: vfs.CreateReply,
) {
  return resolveMade(origin, call, args.where, reply, async (attributes, object) => {
    if (attributes.type !== FileType.SYMLINK) return false;
    const link = await origin.readlink(call, { object });
    return link.status === 0 && link.target === args.target;
  });
}

export async function resolveLink(
  origin: vfs.Filesystem,
  call: vfs.Call,
  args: vfs.LinkArguments,
  reply: vfs.LinkReply,
): Promise<vfs.LinkReply> {
  if (reply.status !== Status.EXIST) return reply;
  const found = await find(origin, call, args.where);
  if (found?.object !== args.object) return reply;
  return { status: 0, attributes: found.attributes, directoryWcc: afterOnly(reply.directoryWcc) };
}

export function resolveRemove(reply: vfs.RemoveReply): vfs.RemoveReply {
  if (reply.status !== Status.NOENT) return reply;
  return { status: 0, directoryWcc: afterOnly(reply.directoryWcc) };
}

export async function resolveRename(
  origin: vfs.Filesystem,
  call: vfs.Call,
  args: vfs.RenameArguments,
  reply: vfs.RenameReply,
): Promise<vfs.RenameReply> {
  if (reply.status !== Status.NOENT) return reply;
  const from = await origin.lookup(call, args.from);
  const to = await origin.lookup(call, args.to);
  if (from.status !== Status.NOENT || to.status !== 0) return reply;
  return { status: 0, fromWcc: afterOnly(reply.fromWcc), toWcc: afterOnly(reply.toWcc) };
}

export async function resolveSetattr(
  origin: vfs.Filesystem,
  call: vfs.Call,
  args: vfs.SetattrArguments,
  reply: vfs.WccReply,
): Promise<vfs.WccReply> {
  if (args.guard === undefined || reply.status !== Status.NOT_SYNC) return reply;
  const got = await origin.getattr(call, { object: args.object });
  if (got.status !== 0 || !isSet(got.attributes, args.set)) return reply;
  return { status: 0, wcc: { after: got.attributes } };
}

function isSet(attributes: vfs.Attributes, set: vfs.SetAttributes): boolean {
  for (const field of ['mode', 'uid', 'gid', 'size'] as const) {
    if (set[field] !== undefined && set[field] !== attributes[field]) return false;
  }
  for (const field of ['atime', 'mtime'] as const) {
    const time = set[field];
    if (typeof time === 'object' && !vfs.timeEquals(time, attributes[field])) return false;
  }
  return true;
}
