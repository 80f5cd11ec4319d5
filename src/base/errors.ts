/**
 * Errors that a person sees. Each has a code from the documented catalogue (docs/errors.md), a cause and a remedy.
 *
 * Protocol statuses are values, never exceptions; an `AssertionError` is a bug; a `ViaductError` is an operating error.
 */

export interface ErrorDetail {
  /** What went wrong, with the names and numbers of this case. */
  readonly cause: string;
  /** What the reader can do about it. */
  readonly remedy: string;
  /** The error below, if there is one. */
  readonly from?: unknown;
}

export class ViaductError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;

  constructor(code: ErrorCode, detail: ErrorDetail) {
    super(detail.cause, detail.from === undefined ? undefined : { cause: detail.from });
    this.name = 'ViaductError';
    this.code = code;
    this.remedy = detail.remedy;
  }

  toJSON(): { code: string; cause: string; remedy: string } {
    return { code: this.code, cause: this.message, remedy: this.remedy };
  }
}

/** The catalogue: every code with one line on when it appears. docs/errors.md is checked against it by tools/tidy.ts. */
export const errorCatalogue = {
  ADDRESS_IN_USE: 'Another program holds the address or port that was asked for.',
  ADDRESS_INVALID: 'A --listen or ORIGIN address could not be understood.',
  CACHE_DAMAGED: 'The cache directory cannot be used: its index is damaged, or its disk fails.',
  CACHE_FOREIGN: 'The directory is not empty and is not a cache of Viaduct.',
  CACHE_IN_USE: 'Another process has the cache directory open.',
  CACHE_VERSION: 'The cache directory was made by another format version.',
  CONFIGURATION_INVALID: 'An option or setting has a value that does not make sense.',
  CONFLICT: 'A file was changed at the origin by somebody else while changes of ours waited; both versions are kept.',
  DAEMON_BUSY: 'The daemon has as much to do as it takes at a time.',
  DAEMON_RUNNING: 'Another daemon has the state directory.',
  DAEMON_UNREACHABLE: 'The daemon that was asked does not answer, or went away before it did.',
  DISK_FULL: 'A local disk has no room left.',
  FETCH_INCOMPLETE: 'Some of a file that was asked for ahead of need could not be fetched.',
  GUEST_BOOT_FAILED: 'The demo guest did not come to its ready line.',
  GUEST_BUILD_FAILED: 'The demo guest could not be built.',
  IMAGE_BUSY: 'Another process is packing the image.',
  IMAGE_CHANGED: 'The image is being changed, or was changed while it was read.',
  IMAGE_NOT_PACKED: 'The image has no content meta-data, or what it has is damaged.',
  IMAGE_UNREADABLE: 'An image, or what lies beside it, cannot be read.',
  KERNEL_MOUNT_FAILED: 'The kernel refused to mount or unmount.',
  KERNEL_SERVER_IN_THE_WAY: 'A kernel NFS server holds port 2049 on all addresses.',
  LEASE_HELD: 'Another host holds the write lease of the tree.',
  LEASE_LOST: 'Another host took the write lease over; what was written here since is kept and not written back.',
  LEASE_STORE_FAILED: 'The store of leases of an origin cannot be read or written.',
  LOG_DAMAGED: 'Stable records of a dirty log do not verify; nothing was deleted.',
  LOG_FAILED: 'The disk of a dirty log does not keep what is written to it.',
  LOG_FOREIGN: 'The directory is not empty and is not a dirty log, or it is the log of another session.',
  LOG_IN_USE: 'Another process has the dirty log open.',
  LOG_MISSING: 'A dirty log in which a session left changes is not where it was.',
  LOG_NOT_EMPTY:
    'The dirty log holds changes that the origin does not have, and what was asked for would leave them behind.',
  LOG_VERSION: 'The dirty log was made by another format version.',
  NOT_ALLOWED: 'The network that a client comes from has not been allowed.',
  ORIGIN_INVALID: 'ORIGIN is not a directory or an nfs:// URL.',
  ORIGIN_REFUSED: 'The origin answered and refused the mount.',
  ORIGIN_UNREACHABLE: 'The origin does not answer.',
  PRIVILEGE_NEEDED: 'The action needs a privilege that this process does not have.',
  PROGRAM_MISSING: 'A program that is needed is not installed.',
  REQUEST_REFUSED: 'A request to the API of the daemon was not understood, or breaks one of its limits.',
  RPC_UNAVAILABLE: 'The server answered that it does not serve the program, version or procedure.',
  SESSION_BUSY: 'The session is being created, opened or closed, and cannot do what was asked for.',
  SESSION_EXISTS: 'A session of that name is there already.',
  SESSION_FAILED: 'The session kept ending its worker, and is not opened again by itself.',
  SESSION_NOT_FOUND: 'No running Viaduct process is the one that was meant, or several could be.',
  STORE_FAILED: 'The store of the daemon’s sessions cannot be read or written.',
  STORE_VERSION: 'The store of the daemon’s sessions was made by a newer Viaduct.',
  TASK_NOT_FOUND: 'The daemon knows no task of that number any more.',
  TIMED_OUT: 'The time allowed for an action ran out.',
  TOKEN_REFUSED: 'The token of a request to the API is missing or wrong, or it came from a page of another site.',
  UNEXPECTED: 'A bug in Viaduct.',
  WRITE_BACK_REFUSED: 'The origin refuses changes that were accepted here; they are kept.',
} as const;

export type ErrorCode = keyof typeof errorCatalogue;

/** The `code` of a Node system error (`ENOENT`, `EADDRINUSE`, ...), or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
