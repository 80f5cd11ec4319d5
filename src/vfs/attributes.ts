/** File attributes as NFSv3 has them (RFC 1813 2.5, 2.6). */

export const FileType = {
  REGULAR: 1,
  DIRECTORY: 2,
  BLOCK: 3,
  CHARACTER: 4,
  SYMLINK: 5,
  SOCKET: 6,
  FIFO: 7,
} as const;
export type FileTypeCode = (typeof FileType)[keyof typeof FileType];

/** nfstime3: unsigned 32-bit seconds since 1970 and nanoseconds below 10^9. */
export interface Time {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** fattr3 (RFC 1813 2.6). Immutable: caches share it. Sizes are bytes. */
export interface Attributes {
  readonly type: FileTypeCode;
  /** Permission bits and set-id bits: the lower 12 bits of st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly used: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly fsid: bigint;
  readonly fileid: bigint;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
}

/** wcc_attr: what is enough to see that a file changed. */
export interface WccAttributes {
  readonly size: number;
  readonly mtime: Time;
  readonly ctime: Time;
}

/** wcc_data: attributes just before and just after, each only if the server could tell. */
export interface WccData {
  readonly before?: WccAttributes | undefined;
  readonly after?: Attributes | undefined;
}

/** sattr3: absent fields stay as they are. */
export interface SetAttributes {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly size?: number | undefined;
  readonly atime?: 'server' | Time | undefined;
  readonly mtime?: 'server' | Time | undefined;
}

export function timeEquals(a: Time, b: Time): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}

/** Whether the file's content cannot have changed between the two, as far as attributes can tell. */
export function sameContent(a: WccAttributes, b: WccAttributes): boolean {
  return a.size === b.size && timeEquals(a.mtime, b.mtime) && timeEquals(a.ctime, b.ctime);
}
