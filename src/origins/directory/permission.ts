/**
 * Who may do what, by mode bits and POSIX ACLs, as the Linux NFS server decides it: user 0 may do everything (a stack that
 * squashes it does so above); the owner of a file may read and write it whatever its mode, since NFS has no open that could
 * have been checked before (RFC 1813 4.4); who may execute a file may read it.
 */
import { Access, type Attributes, type Credential, FileType, inGroup } from '../../vfs/mod.ts';

/** Bits of a permission triple. */
export const Permission = { READ: 4, WRITE: 2, EXECUTE: 1 } as const;

/** One entry of an ACL, as the extended attribute `system.posix_acl_access` has it. */
export interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}
const Tag = { USER_OBJECT: 1, USER: 2, GROUP_OBJECT: 4, GROUP: 8, MASK: 0x10, OTHER: 0x20 } as const;

/** A file as the checks see it; `acl` is undefined for a file that has none. */
export interface Subject {
  readonly attributes: Attributes;
  readonly acl: readonly AclEntry[] | undefined;
}

/** u32 version 2, then u16 tag, u16 permissions, u32 id for each entry (linux/posix_acl_xattr.h). Undefined if it is not that. */
export function parseAcl(value: Buffer): AclEntry[] | undefined {
  if (value.length < 4 || value.length % 8 !== 4 || value.readUInt32LE(0) !== 2) return undefined;
  const entries: AclEntry[] = [];
  for (let at = 4; at < value.length; at += 8) {
    const [tag, permissions] = [value.readUInt16LE(at), value.readUInt16LE(at + 2)];
    entries.push({ tag, permissions, id: value.readUInt32LE(at + 4) });
  }
  return entries;
}

/** Whether all `wanted` bits are granted. */
export function granted(subject: Subject, who: Credential, wanted: number): boolean {
  const { mode, uid, gid, type } = subject.attributes;
  if (who.uid === 0) {
    const execute = (wanted & Permission.EXECUTE) !== 0;
    return !execute || type === FileType.DIRECTORY || (mode & 0o111) !== 0;
  }
  if (who.uid === uid) return ((mode >> 6) & wanted) === wanted;
  if (subject.acl !== undefined) return grantedByAcl(subject.acl, gid, who, wanted);
  return ((mode >> (inGroup(who, gid) ? 3 : 0)) & wanted) === wanted;
}

/** The algorithm of acl(5) for one who is not the owner. */
function grantedByAcl(acl: readonly AclEntry[], fileGroup: number, who: Credential, wanted: number): boolean {
  const mask = acl.find((entry) => entry.tag === Tag.MASK)?.permissions ?? 7;
  const user = acl.find((entry) => entry.tag === Tag.USER && entry.id === who.uid);
  if (user !== undefined) return (user.permissions & mask & wanted) === wanted;
  let inAny = false;
  for (const entry of acl) {
    const group = entry.tag === Tag.GROUP_OBJECT ? fileGroup : entry.tag === Tag.GROUP ? entry.id : undefined;
    if (group === undefined || !inGroup(who, group)) continue;
    inAny = true;
    if ((entry.permissions & mask & wanted) === wanted) return true;
  }
  if (inAny) return false;
  return ((acl.find((entry) => entry.tag === Tag.OTHER)?.permissions ?? 0) & wanted) === wanted;
}

export function mayRead(subject: Subject, who: Credential): boolean {
  if (who.uid === subject.attributes.uid) return true;
  return granted(subject, who, Permission.READ) || granted(subject, who, Permission.EXECUTE);
}

export function mayWrite(subject: Subject, who: Credential): boolean {
  return who.uid === subject.attributes.uid || granted(subject, who, Permission.WRITE);
}

export function isOwner(attributes: Attributes, who: Credential): boolean {
  return who.uid === 0 || who.uid === attributes.uid;
}

/** Whether an entry of the directory may be made or, with `victim`, taken away (the sticky bit). */
export function mayChangeEntries(directory: Subject, who: Credential, victim?: Attributes): boolean {
  if (!granted(directory, who, Permission.WRITE | Permission.EXECUTE)) return false;
  const sticky = (directory.attributes.mode & 0o1000) !== 0;
  return !sticky || victim === undefined || isOwner(victim, who) || isOwner(directory.attributes, who);
}

/** The ACCESS bits that are granted (RFC 1813 3.3.4). */
export function accessBits(subject: Subject, who: Credential): number {
  const read = granted(subject, who, Permission.READ) ? Access.READ : 0;
  const write = granted(subject, who, Permission.WRITE);
  const execute = granted(subject, who, Permission.EXECUTE);
  if (subject.attributes.type === FileType.DIRECTORY) {
    const change = write && execute ? Access.MODIFY | Access.EXTEND | Access.DELETE : 0;
    return read | (execute ? Access.LOOKUP : 0) | change;
  }
  return read | (write ? Access.MODIFY | Access.EXTEND : 0) | (execute ? Access.EXECUTE : 0);
}
