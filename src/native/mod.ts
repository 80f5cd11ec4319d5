/** Floor 0: system calls that Node lacks. */

export * from './at.ts';
export { bootId } from './boot-id.ts';
export { DirectoryReader, type RawEntry } from './directory-entries.ts';
export { exitNow } from './exit.ts';
export { reserveRoom } from './fallocate.ts';
export { type FileSystemStatus, fileSystemStatus, linkMaximum } from './file-system-status.ts';
export { flockExclusive } from './flock.ts';
export { actingAs, type Identity } from './identity.ts';
export { becomeIoFlusher, isIoFlusher } from './io-flusher.ts';
export { KernelHandles } from './kernel-handle.ts';
export { lastErrno, libc } from './libc.ts';
export { duplicateDescriptor, listenOn } from './listening-socket.ts';
export { makeDirectory } from './make-directory.ts';
export { mountFileSystem, UnmountFlag, unmountFileSystem } from './mount.ts';
export {
  adviseRandom,
  errno,
  NoWaitReader,
  type ReadTarget,
  readTarget,
  seekData,
  seekHole,
} from './preadv.ts';
export { removeIfPossible, replaceFile } from './replace-file.ts';
export { unblockSignal } from './signal-mask.ts';
export { StatusReader } from './statx.ts';
