/** Which NFS status an errno of the local file system becomes (RFC 1813 2.6), in one table. */
import { constants } from 'node:os';
import { type Log, systemCode } from '../../base/mod.ts';
import { type Failure, Status } from '../../vfs/mod.ts';

const { errno } = constants;

/** The same choices as the Linux server's where RFC 1813 leaves one. */
const table = new Map<number, Failure>([
  [errno.EPERM, Status.PERM],
  [errno.ENOENT, Status.NOENT],
  [errno.EIO, Status.IO],
  [errno.ENXIO, Status.NXIO],
  [errno.EACCES, Status.ACCES],
  [errno.EEXIST, Status.EXIST],
  [errno.EXDEV, Status.XDEV],
  [errno.ENODEV, Status.NODEV],
  [errno.ENOTDIR, Status.NOTDIR],
  [errno.EISDIR, Status.ISDIR],
  [errno.EINVAL, Status.INVAL],
  [errno.EFBIG, Status.FBIG],
  [errno.EOVERFLOW, Status.FBIG],
  [errno.ENOSPC, Status.NOSPC],
  [errno.EROFS, Status.ROFS],
  [errno.EMLINK, Status.MLINK],
  [errno.ENAMETOOLONG, Status.NAMETOOLONG],
  [errno.ENOTEMPTY, Status.NOTEMPTY],
  [errno.EDQUOT, Status.DQUOT],
  [errno.ESTALE, Status.STALE],
  [errno.EOPNOTSUPP, Status.NOTSUPP],
  [errno.ENOSYS, Status.NOTSUPP],
  [errno.ETXTBSY, Status.ACCES],
  // Opening what is a symbolic link where a file was expected: somebody replaced it meanwhile.
  [errno.ELOOP, Status.STALE],
  // Somebody holds a lease on the file (fcntl(2)) and has been asked to give it up.
  [errno.EAGAIN, Status.JUKEBOX],
  // Out of descriptors or memory: a client that tries again soon may succeed.
  [errno.EMFILE, Status.JUKEBOX],
  [errno.ENFILE, Status.JUKEBOX],
  [errno.ENOMEM, Status.JUKEBOX],
]);

/** `result` is a negative errno. What the table does not know is IO, and logged. */
export function statusOf(result: number, log: Log): Failure {
  const status = table.get(-result);
  if (status !== undefined && status !== Status.IO) return status;
  log.error({ errno: -result }, 'the exported directory answers with an error');
  return Status.IO;
}

/** The negative errno of an error that node:fs gave. */
export function errnoOf(error: NodeJS.ErrnoException | null): number {
  if (error === null) return 0;
  const code = systemCode(error);
  const value = code === undefined ? undefined : (errno as Record<string, number>)[code];
  return value === undefined ? -errno.EIO : -value;
}
