/**
 * READDIR and READDIRPLUS in memory (RFC 1813 3.3.16, 3.3.17): as many entries as fit the bytes that the caller allows.
 *
 *     reply    status, attributes, verifier ... terminator, eof     108 bytes
 *     entry    follows, fileid, name, cookie                        24 + padded name
 *     plus     attributes, handle                                   96 + padded handle
 */
import * as vfs from '../vfs/mod.ts';
import { granted, Permission } from './memory-permission.ts';
import type { MemoryStore } from './memory-store.ts';

const { Status } = vfs;
const replyOverheadBytes = 108;
/** Cookies are never used again, so one verifier is right for ever. */
const cookieVerifier = 'memory\0\x01';

export class MemoryListing {
  readonly #store: MemoryStore;

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  list(call: vfs.Call, args: vfs.ReaddirArguments, plus: boolean): vfs.ReaddirReply<vfs.DirectoryEntryPlus> {
    const found = this.#store.find(args.directory);
    if (typeof found === 'number') return { status: found };
    const directoryAttributes = this.#store.attributesOf(found);
    if (found.directory === undefined) return { status: Status.NOTDIR, directoryAttributes };
    if (!granted(found, call.credential, Permission.READ)) return { status: Status.ACCES, directoryAttributes };
    if (args.cookie !== 0n && args.cookieVerifier !== cookieVerifier) {
      return { status: Status.BAD_COOKIE, directoryAttributes };
    }
    const entries: vfs.DirectoryEntryPlus[] = [];
    let replyLeft = (plus ? args.replyBytes : args.directoryBytes) - replyOverheadBytes;
    let namesLeft = plus ? args.directoryBytes : Number.POSITIVE_INFINITY;
    let eof = true;
    for (const { name, node, cookie } of found.directory.after(Number(args.cookie), found)) {
      const nameBytes = 20 + ((name.length + 3) & ~3);
      replyLeft -= plus ? nameBytes + 100 + node.handle.length : nameBytes + 4;
      namesLeft -= nameBytes;
      if (replyLeft < 0 || namesLeft < 0) {
        eof = false;
        break;
      }
      const entry = { fileid: node.fileid, name, cookie: BigInt(cookie) };
      entries.push(plus ? { ...entry, object: node.handle, attributes: this.#store.attributesOf(node) } : entry);
    }
    if (entries.length === 0 && !eof) return { status: Status.TOOSMALL, directoryAttributes };
    return { status: 0, directoryAttributes, cookieVerifier, entries, eof };
  }
}
