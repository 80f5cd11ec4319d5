/** NFSv3 statuses (RFC 1813 2.6). They are values: a `Filesystem` answers them, it never throws them. */
export const Status = {
  OK: 0,
  PERM: 1,
  NOENT: 2,
  IO: 5,
  NXIO: 6,
  ACCES: 13,
  EXIST: 17,
  XDEV: 18,
  NODEV: 19,
  NOTDIR: 20,
  ISDIR: 21,
  INVAL: 22,
  FBIG: 27,
  NOSPC: 28,
  ROFS: 30,
  MLINK: 31,
  NAMETOOLONG: 63,
  NOTEMPTY: 66,
  DQUOT: 69,
  STALE: 70,
  REMOTE: 71,
  BADHANDLE: 10001,
  NOT_SYNC: 10002,
  BAD_COOKIE: 10003,
  NOTSUPP: 10004,
  TOOSMALL: 10005,
  SERVERFAULT: 10006,
  BADTYPE: 10007,
  JUKEBOX: 10008,
} as const;

export type StatusCode = (typeof Status)[keyof typeof Status];
export type Failure = Exclude<StatusCode, 0>;

const names = new Map<number, string>(Object.entries(Status).map(([name, value]) => [value, `NFS3ERR_${name}`]));
names.set(0, 'NFS3_OK');

export function statusName(status: number): string {
  return names.get(status) ?? `NFS3 status ${status}`;
}

export function isKnownStatus(status: number): status is StatusCode {
  return names.has(status);
}
