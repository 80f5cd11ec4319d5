/**
 * Who may do what, by mode bits, as the Linux NFS server decides it: user 0 may do everything (a stack that squashes it does
 * so above); the owner of a file may read and write it whatever its mode, since NFS has no open that could have been checked
 * before (RFC 1813 4.4); who may execute a file may read it.
 */
import { Access, type Credential, FileType, inGroup } from '../vfs/mod.ts';
import type { MemoryNode } from './memory-node.ts';

/** Bits of a permission triple. */
export const Permission = { READ: 4, WRITE: 2, EXECUTE: 1 } as const;

/** Whether all `wanted` bits are granted by the mode. */
export function granted(node: MemoryNode, who: Credential, wanted: number): boolean {
  if (who.uid === 0) {
    const execute = (wanted & Permission.EXECUTE) !== 0;
    return !execute || node.type === FileType.DIRECTORY || (node.mode & 0o111) !== 0;
  }
  const shift = who.uid === node.uid ? 6 : inGroup(who, node.gid) ? 3 : 0;
  return ((node.mode >> shift) & wanted) === wanted;
}

export function mayRead(node: MemoryNode, who: Credential): boolean {
  return who.uid === node.uid || granted(node, who, Permission.READ) || granted(node, who, Permission.EXECUTE);
}

export function mayWrite(node: MemoryNode, who: Credential): boolean {
  return who.uid === node.uid || granted(node, who, Permission.WRITE);
}

export function isOwner(node: MemoryNode, who: Credential): boolean {
  return who.uid === 0 || who.uid === node.uid;
}

/** Whether an entry of the directory may be made or, with `victim`, taken away. */
export function mayChangeEntries(directory: MemoryNode, who: Credential, victim?: MemoryNode): boolean {
  if (!granted(directory, who, Permission.WRITE | Permission.EXECUTE)) return false;
  const sticky = (directory.mode & 0o1000) !== 0;
  return !sticky || victim === undefined || isOwner(victim, who) || isOwner(directory, who);
}

/** The subset of ACCESS bits that is granted (RFC 1813 3.3.4). */
export function accessBits(node: MemoryNode, who: Credential, asked: number): number {
  const read = granted(node, who, Permission.READ) ? Access.READ : 0;
  const write = granted(node, who, Permission.WRITE);
  const execute = granted(node, who, Permission.EXECUTE);
  if (node.type === FileType.DIRECTORY) {
    const change = write && execute ? Access.MODIFY | Access.EXTEND | Access.DELETE : 0;
    return asked & (read | (execute ? Access.LOOKUP : 0) | change);
  }
  return asked & (read | (write ? Access.MODIFY | Access.EXTEND : 0) | (execute ? Access.EXECUTE : 0));
}
