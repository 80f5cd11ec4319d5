/**
 * Acting as another user for the length of one synchronous action, so that new files are born with the right owner and
 * the kernel checks the caller's own rights. Only the calling thread changes: setfsuid(2), setfsgid(2), and setgroups(2) as
 * the bare system call (the C library's would change all threads). Needs user 0.
 */
import { lastErrno, libc } from './libc.ts';

const setfsuid = libc.func('int setfsuid(uint32_t)');
const setfsgid = libc.func('int setfsgid(uint32_t)');
const syscall = libc.func('int64_t syscall(int64_t, size_t, const void*)');
const setgroupsNumber = process.arch === 'arm64' ? 159 : 116;
const nobodyAtAll = 0xffffffff;
const EPERM = 1;

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly gids: readonly number[];
}

function setGroups(gids: readonly number[]): number {
  return Number(syscall(setgroupsNumber, gids.length, Uint32Array.from(gids))) < 0 ? -lastErrno() : 0;
}

/** The action's result, or a negative errno if this thread could not become `who`. `own` is what it is again afterwards. */
export function actingAs(who: Identity, own: Identity, action: () => number): number {
  const grouped = setGroups(who.gids);
  if (grouped < 0) return grouped;
  try {
    setfsgid(who.gid);
    setfsuid(who.uid);
    // They tell the value before, and no error: an id that no file can have asks without changing.
    const became = setfsuid(nobodyAtAll) >>> 0 === who.uid && setfsgid(nobodyAtAll) >>> 0 === who.gid;
    return became ? action() : -EPERM;
  } finally {
    setfsuid(own.uid);
    setfsgid(own.gid);
    setGroups(own.gids);
  }
}
