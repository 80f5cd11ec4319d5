/**
 * The reply that READDIR and READDIRPLUS share (RFC 1813 3.3.16, 3.3.17). The entries are a linked list on the wire, decoded in a
 * loop; what READDIRPLUS adds to an entry comes behind its head.
 *
 *     resok   attributes verifier (1 fileid name cookie more)* 0 eof
 */
import { limits } from '../base/mod.ts';
import type { DirectoryEntry, ReaddirReply } from '../vfs/mod.ts';
import type { Codec, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { readOptionalAttributes, readVerifier, writeOptionalAttributes, writeVerifier } from './attributes.ts';
import { directoryRefusal } from './bodies.ts';
import { replyUnion } from './procedure.ts';

/** What stands behind fileid, name and cookie. */
export interface EntryTail<Entry extends DirectoryEntry> {
  encode(writer: XdrWriter, entry: Entry): void;
  decode(reader: XdrReader, head: DirectoryEntry): Entry;
}

export function listingReply<Entry extends DirectoryEntry>(tail: EntryTail<Entry>): Codec<ReaddirReply<Entry>> {
  return replyUnion({
    encodeSuccess(writer, reply: ReaddirReply<Entry> & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.directoryAttributes);
      writeVerifier(writer, reply.cookieVerifier);
      for (let i = 0; i < reply.entries.length; i++) {
        const entry = reply.entries[i]!;
        writer.bool(true);
        writer.uint64(entry.fileid);
        writer.binaryString(entry.name);
        writer.uint64(entry.cookie);
        tail.encode(writer, entry);
      }
      writer.bool(false);
      writer.bool(reply.eof);
    },
    decodeSuccess(reader) {
      const directoryAttributes = readOptionalAttributes(reader);
      const cookieVerifier = readVerifier(reader);
      const entries: Entry[] = [];
      while (reader.bool()) {
        const fileid = reader.uint64();
        const name = reader.binaryString(limits.nameBytes);
        entries.push(tail.decode(reader, { fileid, name, cookie: reader.uint64() }));
      }
      return { status: 0, directoryAttributes, cookieVerifier, entries, eof: reader.bool() };
    },
    ...directoryRefusal,
  });
}
