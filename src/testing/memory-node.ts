/**
 * One file, directory, link or special file in memory.
 *
 * Invariants: `fileid` is never used again; `attributes` is made anew after `changed()`; the entries of a directory have
 * cookies that grow in the order of their creation and stay the same while the entry exists.
 *
 *     cookie   1   2   3      4      5      6
 *     entry    .   ..  a.txt  (gone) c.txt  d      a removed entry leaves a hole, so cookies never move
 */
import { type Attributes, FileType, type FileTypeCode, type Name, type Time, type WccAttributes } from '../vfs/mod.ts';
import { MemoryContent } from './memory-content.ts';

export interface MemoryEntry {
  readonly name: Name;
  readonly node: MemoryNode;
  readonly cookie: number;
}

const firstCookie = 3;

export class MemoryDirectory {
  parent: MemoryNode | undefined;
  readonly #byName = new Map<Name, MemoryEntry>();
  readonly #byCookie: (MemoryEntry | undefined)[] = [];

  get size(): number {
    return this.#byName.size;
  }

  get(name: Name): MemoryNode | undefined {
    return this.#byName.get(name)?.node;
  }

  add(name: Name, node: MemoryNode): void {
    const entry = { name, node, cookie: this.#byCookie.length + firstCookie };
    this.#byName.set(name, entry);
    this.#byCookie.push(entry);
  }

  remove(name: Name): void {
    const entry = this.#byName.get(name);
    if (entry === undefined) return;
    this.#byName.delete(name);
    this.#byCookie[entry.cookie - firstCookie] = undefined;
  }

  /** The entries after the one with this cookie; 0 is the start. */
  *after(cookie: number, self: MemoryNode): Generator<MemoryEntry> {
    if (cookie < 1) yield { name: '.', node: self, cookie: 1 };
    if (cookie < 2) yield { name: '..', node: this.parent ?? self, cookie: 2 };
    for (let index = Math.max(0, cookie - firstCookie + 1); index < this.#byCookie.length; index++) {
      const entry = this.#byCookie[index];
      if (entry !== undefined) yield entry;
    }
  }
}

export interface MemoryNodeFields {
  readonly fileid: bigint;
  readonly handle: string;
  readonly type: FileTypeCode;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly time: Time;
  readonly target?: string | undefined;
  readonly deviceMajor?: number | undefined;
  readonly deviceMinor?: number | undefined;
}

export class MemoryNode {
  readonly fileid: bigint;
  readonly handle: string;
  readonly type: FileTypeCode;
  readonly target: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Of regular files. */
  readonly content: MemoryContent | undefined;
  /** Of directories. */
  readonly directory: MemoryDirectory | undefined;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  atime: Time;
  mtime: Time;
  ctime: Time;
  /** The verifier of the exclusive CREATE that made it. */
  createVerifier: string | undefined;
  #attributes: Attributes | undefined;

  constructor(fields: MemoryNodeFields) {
    this.fileid = fields.fileid;
    this.handle = fields.handle;
    this.type = fields.type;
    this.target = fields.target ?? '';
    this.deviceMajor = fields.deviceMajor ?? 0;
    this.deviceMinor = fields.deviceMinor ?? 0;
    this.content = fields.type === FileType.REGULAR ? new MemoryContent() : undefined;
    this.directory = fields.type === FileType.DIRECTORY ? new MemoryDirectory() : undefined;
    this.mode = fields.mode;
    this.uid = fields.uid;
    this.gid = fields.gid;
    this.nlink = fields.type === FileType.DIRECTORY ? 2 : 1;
    this.atime = fields.time;
    this.mtime = fields.time;
    this.ctime = fields.time;
  }

  get size(): number {
    if (this.content !== undefined) return this.content.size;
    return this.directory !== undefined ? 4096 : this.target.length;
  }

  /** Call after any change of the fields. */
  changed(): void {
    this.#attributes = undefined;
  }

  /** The content or the entries changed at this time. */
  modified(time: Time): void {
    this.mtime = time;
    this.ctime = time;
    this.changed();
  }

  /** The attributes changed at this time. */
  altered(time: Time): void {
    this.ctime = time;
    this.changed();
  }

  attributes(fsid: bigint): Attributes {
    this.#attributes ??= {
      type: this.type,
      mode: this.mode,
      nlink: this.nlink,
      uid: this.uid,
      gid: this.gid,
      size: this.size,
      used: this.content?.used ?? this.size,
      deviceMajor: this.deviceMajor,
      deviceMinor: this.deviceMinor,
      fsid,
      fileid: this.fileid,
      atime: this.atime,
      mtime: this.mtime,
      ctime: this.ctime,
    };
    return this.#attributes;
  }

  wccAttributes(): WccAttributes {
    return { size: this.size, mtime: this.mtime, ctime: this.ctime };
  }
}
