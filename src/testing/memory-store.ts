/**
 * The files of a `MemoryFilesystem`: handles, times, and the primitives by which names come and go.
 *
 * Invariants: a handle names one file for ever (file numbers are not used again); times strictly increase, so that every change
 * shows (unless they are made coarse); a file lives while it has names; `usedBytes` is the sum over all files.
 *
 *     handle   [ "memf" ][ 4 bytes of identity ][ fileid, 8 bytes ]
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../base/mod.ts';
import {
  type Attributes,
  type Credential,
  type Failure,
  type FileHandle,
  FileType,
  type FileTypeCode,
  type SetAttributes,
  Status,
  type Time,
  type WccAttributes,
  type WccData,
} from '../vfs/mod.ts';
import { MemoryNode } from './memory-node.ts';
import { isOwner, mayWrite } from './memory-permission.ts';

const magic = 'memf';

export class MemoryStore {
  readonly root: MemoryNode;
  readonly fsid: bigint;
  usedBytes = 0;
  readonly #clock: Clock;
  readonly #tag: string;
  readonly #nodes = new Map<FileHandle, MemoryNode>();
  #nextFileid = 2n;
  readonly #timeStepMs: number | undefined;
  #lastTime: Time = { seconds: 0, nanoseconds: 0 };

  constructor(
    clock: Clock,
    identity: string,
    root: { mode: number; uid: number; gid: number },
    timeStepMs: number | undefined,
  ) {
    this.#clock = clock;
    this.#timeStepMs = timeStepMs;
    const digest = createHash('sha256').update(identity, 'latin1').digest();
    this.#tag = digest.toString('latin1', 0, 4);
    this.fsid = digest.readBigUInt64BE(8);
    this.root = this.make({ type: FileType.DIRECTORY, ...root });
  }

  get fileCount(): number {
    return this.#nodes.size;
  }

  nodes(): IterableIterator<MemoryNode> {
    return this.#nodes.values();
  }

  /** The file, or why there is none. */
  find(handle: FileHandle): MemoryNode | Failure {
    const node = this.#nodes.get(handle);
    if (node !== undefined) return node;
    return handle.length === 16 && handle.startsWith(magic + this.#tag) ? Status.STALE : Status.BADHANDLE;
  }

  findDirectory(handle: FileHandle): MemoryNode | Failure {
    const node = this.find(handle);
    return typeof node === 'number' || node.directory !== undefined ? node : Status.NOTDIR;
  }

  attributesOf(node: MemoryNode): Attributes {
    return node.attributes(this.fsid);
  }

  wcc(before: WccAttributes | undefined, node: MemoryNode): WccData {
    return { before, after: this.attributesOf(node) };
  }

  now(): Time {
    if (this.#timeStepMs !== undefined) return this.#coarseTime(this.#timeStepMs);
    const wallTimeMs = this.#clock.wallTimeMs();
    const seconds = Math.floor(wallTimeMs / 1000);
    const nanoseconds = Math.floor((wallTimeMs - seconds * 1000) * 1e6);
    const last = this.#lastTime;
    if (seconds > last.seconds || (seconds === last.seconds && nanoseconds > last.nanoseconds)) {
      this.#lastTime = { seconds, nanoseconds };
    } else if (last.nanoseconds === 999_999_999) {
      this.#lastTime = { seconds: last.seconds + 1, nanoseconds: 0 };
    } else {
      this.#lastTime = { seconds: last.seconds, nanoseconds: last.nanoseconds + 1 };
    }
    return this.#lastTime;
  }

  #coarseTime(stepMs: number): Time {
    const wallTimeMs = Math.floor(this.#clock.wallTimeMs() / stepMs) * stepMs;
    const seconds = Math.floor(wallTimeMs / 1000);
    return { seconds, nanoseconds: (wallTimeMs - seconds * 1000) * 1e6 };
  }

  /** A file without a name yet. */
  make(fields: {
    type: FileTypeCode;
    mode: number;
    uid: number;
    gid: number;
    target?: string | undefined;
    deviceMajor?: number | undefined;
    deviceMinor?: number | undefined;
  }): MemoryNode {
    const fileid = this.#nextFileid++;
    const number = Buffer.alloc(8);
    number.writeBigUInt64BE(fileid);
    const handle = magic + this.#tag + number.toString('latin1');
    const node = new MemoryNode({ ...fields, fileid, handle, time: this.now() });
    this.#nodes.set(handle, node);
    return node;
  }

  /** A file that the caller makes in a directory; a directory with the set-group-ID bit hands its group down. */
  makeFor(
    who: Credential,
    parent: MemoryNode,
    fields: {
      type: FileTypeCode;
      set: SetAttributes;
      mode: number;
      target?: string;
      deviceMajor?: number;
      deviceMinor?: number;
    },
  ): MemoryNode {
    const inherits = (parent.mode & 0o2000) !== 0;
    const privileged = who.uid === 0;
    const mode = (fields.set.mode ?? fields.mode) & 0o7777;
    const node = this.make({
      type: fields.type,
      mode: inherits && fields.type === FileType.DIRECTORY ? mode | 0o2000 : mode,
      uid: privileged ? (fields.set.uid ?? who.uid) : who.uid,
      gid: privileged && fields.set.gid !== undefined ? fields.set.gid : inherits ? parent.gid : who.gid,
      target: fields.target,
      deviceMajor: fields.deviceMajor,
      deviceMinor: fields.deviceMinor,
    });
    if (node.content !== undefined && fields.set.size !== undefined) node.content.resize(fields.set.size);
    this.applyTimes(node, fields.set);
    return node;
  }

  /** Gives a file a name. */
  enter(parent: MemoryNode, name: string, node: MemoryNode, time: Time): void {
    parent.directory!.add(name, node);
    if (node.directory !== undefined) {
      node.directory.parent = parent;
      parent.nlink++;
    }
    parent.modified(time);
  }

  /** Takes a name away; the file stays. */
  leave(parent: MemoryNode, name: string, node: MemoryNode, time: Time): void {
    parent.directory!.remove(name);
    if (node.directory !== undefined) parent.nlink--;
    parent.modified(time);
  }

  /** Counts one name less, and forgets the file after the last. */
  drop(node: MemoryNode, time: Time): void {
    node.nlink -= node.directory === undefined ? 1 : 2;
    node.altered(time);
    if (node.nlink > 0) return;
    this.#nodes.delete(node.handle);
    this.usedBytes -= node.content?.used ?? 0;
  }

  resize(node: MemoryNode, size: number): void {
    const content = node.content!;
    const used = content.used;
    content.resize(size);
    this.usedBytes += content.used - used;
  }

  /** Whether SETATTR may do this (RFC 1813 3.3.2, and what POSIX says of chmod, chown and utimes). */
  mayApply(node: MemoryNode, set: SetAttributes, who: Credential): Failure | 0 {
    if (set.size !== undefined) {
      if (node.directory !== undefined) return Status.ISDIR;
      if (node.content === undefined) return Status.INVAL;
      if (!mayWrite(node, who)) return Status.ACCES;
    }
    const owner = isOwner(node, who);
    if (set.mode !== undefined && !owner) return Status.PERM;
    if (set.uid !== undefined && set.uid !== node.uid && who.uid !== 0) return Status.PERM;
    if (set.gid !== undefined && set.gid !== node.gid && who.uid !== 0) {
      if (!owner || (who.gid !== set.gid && !who.gids.includes(set.gid))) return Status.PERM;
    }
    if (owner) return 0;
    if (typeof set.atime === 'object' || typeof set.mtime === 'object') return Status.PERM;
    if ((set.atime === 'server' || set.mtime === 'server') && !mayWrite(node, who)) return Status.ACCES;
    return 0;
  }

  apply(node: MemoryNode, set: SetAttributes, who: Credential): void {
    const time = this.now();
    if (set.size !== undefined && set.size !== node.size) {
      this.resize(node, set.size);
      node.mtime = time;
    }
    const gid = set.gid ?? node.gid;
    const moved = (set.uid ?? node.uid) !== node.uid || gid !== node.gid;
    node.uid = set.uid ?? node.uid;
    node.gid = gid;
    if (moved && node.directory === undefined) node.mode &= ~0o6000;
    if (set.mode !== undefined) {
      const foreignGroup = who.uid !== 0 && who.gid !== gid && !who.gids.includes(gid);
      node.mode = set.mode & (foreignGroup && node.directory === undefined ? 0o5777 : 0o7777);
    }
    this.applyTimes(node, set, time);
    node.altered(time);
  }

  applyTimes(node: MemoryNode, set: SetAttributes, time: Time = node.ctime): void {
    if (set.atime !== undefined) node.atime = set.atime === 'server' ? time : set.atime;
    if (set.mtime !== undefined) node.mtime = set.mtime === 'server' ? time : set.mtime;
    node.changed();
  }
}
