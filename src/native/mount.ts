/** mount(2) and umount2(2): for machines without mount.nfs, and to undo a mount without a helper program. */
import { lastErrno, libc } from './libc.ts';

const mount = libc.func('int mount(const char*, const char*, const char*, unsigned long, const char*)');
const umount2 = libc.func('int umount2(const char*, int)');

export const UnmountFlag = { FORCE: 1, DETACH: 2 } as const;

/** 0, or a negative errno. `options` is the text that the file system itself reads. */
export function mountFileSystem(source: string, target: string, type: string, options: string): number {
  return mount(source, target, type, 0, options) < 0 ? -lastErrno() : 0;
}

/** 0, or a negative errno. */
export function unmountFileSystem(target: string, flags: number): number {
  return umount2(target, flags) < 0 ? -lastErrno() : 0;
}
