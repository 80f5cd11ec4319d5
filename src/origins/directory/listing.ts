/**
 * READDIR and READDIRPLUS (RFC 1813 3.3.16, 3.3.17). A cookie is the kernel's own position behind an entry (d_off), which
 * ext4, xfs, btrfs and tmpfs (6.6) keep valid while entries come and go, also over a restart; so the verifier is constant.
 */
import { constants } from 'node:os';
import { limits } from '../../base/mod.ts';
import { DirectoryReader } from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Export } from './export.ts';
import type { OpenFile } from './open-file.ts';
import { granted, Permission } from './permission.ts';
import type { PlaceRow } from './places.ts';

const { Status, FileType } = vfs;
const cookieVerifier: vfs.Verifier = '\0'.repeat(8);
/** Of the reply: status, attributes, verifier, the end of the list. */
const frameBytes = 4 + 88 + 8 + 8;
/** Of an entry: follows, fileid, length of the name, cookie. */
const entryBytes = 4 + 8 + 4 + 8;
/** Of READDIRPLUS: attributes and handle with their flags, and the handle's length. */
const plusBytes = 88 + 4 + 4;
/** Looking at a file takes some microseconds of the event loop's time: so many a reply. */
const plusEntries = 512;

type Collect<Entry> = (entry: vfs.DirectoryEntry) => { readonly entry: Entry; readonly bytes: number };

export class Listing {
  readonly #export: Export;
  readonly #reader = new DirectoryReader();

  constructor(exported: Export) {
    this.#export = exported;
  }

  readdir(call: vfs.Call, args: vfs.ReaddirArguments): vfs.ReaddirReply {
    const opened = this.#open(call, args);
    if (!('file' in opened)) return opened;
    const limit = Math.min(args.directoryBytes, limits.directoryReplyBytes) - frameBytes;
    const collect: Collect<vfs.DirectoryEntry> = (entry) => ({ entry, bytes: entryBytes + padded(entry.name.length) });
    return this.#list(opened, args, limit, Number.POSITIVE_INFINITY, collect);
  }

  readdirplus(call: vfs.Call, args: vfs.ReaddirArguments): vfs.ReaddirReply<vfs.DirectoryEntryPlus> {
    const opened = this.#open(call, args);
    if (!('file' in opened)) return opened;
    const { file, attributes } = opened;
    const limit = Math.min(args.replyBytes, limits.directoryReplyBytes) - frameBytes;
    // Without the right to search, names are all that the caller may see.
    const subject = this.#export.subject(file, attributes, call.credential);
    const search = granted(subject, call.credential, Permission.EXECUTE);
    const rows: PlaceRow[] = [];
    const collect: Collect<vfs.DirectoryEntryPlus> = (entry) => {
      const plain = entryBytes + padded(entry.name.length) + 8;
      const found = search ? this.#look(file, entry, rows) : undefined;
      if (found === undefined) return { entry, bytes: plain };
      return { entry: found, bytes: plain - 8 + plusBytes + padded(found.object!.length) };
    };
    const reply = this.#list(opened, args, limit, plusEntries, collect);
    const remembered = this.#export.remember(rows);
    return remembered === 0 ? reply : { status: remembered, directoryAttributes: attributes };
  }

  #look(file: OpenFile, entry: vfs.DirectoryEntry, rows: PlaceRow[]): vfs.DirectoryEntryPlus | undefined {
    if (entry.name === '..') return undefined;
    const found = this.#export.peek(file.pathFd, entry.name);
    // Gone meanwhile, or another file system is mounted there: the name alone.
    if (typeof found === 'number') return undefined;
    const { handle, attributes } = found;
    if (entry.name !== '.') rows.push({ handle, parent: file.handle, name: entry.name, inode: attributes.fileid });
    return { ...entry, fileid: attributes.fileid, object: handle, attributes };
  }

  #open(
    call: vfs.Call,
    args: vfs.ReaddirArguments,
  ):
    | { readonly file: OpenFile; readonly attributes: vfs.Attributes; readonly fd: number }
    | { readonly status: vfs.Failure; readonly directoryAttributes?: vfs.Attributes } {
    const file = this.#export.find(args.directory);
    if (typeof file === 'number') return { status: file };
    const attributes = this.#export.attributes(file);
    if (typeof attributes === 'number') return { status: attributes };
    const refuse = (status: vfs.Failure) => ({ status, directoryAttributes: attributes });
    if (file.type !== FileType.DIRECTORY) return refuse(Status.NOTDIR);
    const subject = this.#export.subject(file, attributes, call.credential);
    if (!granted(subject, call.credential, Permission.READ)) return refuse(Status.ACCES);
    const fd = file.reader();
    if (fd < 0) return refuse(this.#export.failure(fd));
    const cookie = BigInt.asIntN(64, args.cookie);
    const sought = cookie < 0n ? -constants.errno.EINVAL : this.#reader.seek(fd, cookie);
    if (sought === -constants.errno.EINVAL) return refuse(Status.BAD_COOKIE);
    return sought < 0 ? refuse(this.#export.failure(sought)) : { file, attributes, fd };
  }

  #list<Entry extends vfs.DirectoryEntry>(
    opened: { readonly file: OpenFile; readonly attributes: vfs.Attributes; readonly fd: number },
    args: vfs.ReaddirArguments,
    replyBytes: number,
    maximumEntries: number,
    collect: Collect<Entry>,
  ): vfs.ReaddirReply<Entry> {
    const { file, attributes, fd } = opened;
    const atRoot = file.handle === this.#export.parts.root;
    const entries: Entry[] = [];
    let namesBytes = 0;
    let bytes = 0;
    for (;;) {
      const batch = this.#reader.next(fd, Math.max(4096, args.directoryBytes));
      if (typeof batch === 'number') return { status: this.#export.failure(batch), directoryAttributes: attributes };
      if (batch.length === 0) {
        return { status: 0, directoryAttributes: attributes, cookieVerifier, entries, eof: true };
      }
      for (const raw of batch) {
        // What lies above the root is not the client's business.
        const fileid = atRoot && raw.name === '..' ? attributes.fileid : raw.inode;
        const name = entryBytes + padded(raw.name.length);
        const full = entries.length >= maximumEntries || namesBytes + name > args.directoryBytes;
        const next = full ? undefined : collect({ fileid, name: raw.name, cookie: raw.position });
        if (next === undefined || bytes + next.bytes > replyBytes) {
          if (entries.length === 0) return { status: Status.TOOSMALL, directoryAttributes: attributes };
          return { status: 0, directoryAttributes: attributes, cookieVerifier, entries, eof: false };
        }
        entries.push(next.entry);
        namesBytes += name;
        bytes += next.bytes;
      }
    }
  }
}

/** XDR pads to four bytes (RFC 4506 3). */
function padded(length: number): number {
  return (length + 3) & ~3;
}
