/**
 * READDIR: read a directory (RFC 1813 3.3.16). The entries are a linked list on the wire, decoded in a loop.
 *
 *     resok   attributes verifier (1 fileid name cookie)* 0 eof
 */
import { limits } from '../../base/mod.ts';
import type { DirectoryEntry, ReaddirArguments, ReaddirReply } from '../../vfs/mod.ts';
import {
  attributesBytes,
  readOptionalAttributes,
  readVerifier,
  verifierBytes,
  writeOptionalAttributes,
  writeVerifier,
} from '../attributes.ts';
import { directoryRefusal, refusePlain } from '../bodies.ts';
import { readHandle } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

/** Bytes of a READDIR3resok or READDIRPLUS3resok without entries: the terminator of the list and eof are one word each. */
export function readdirOverheadBytes(reply: ReaddirReply & { readonly status: 0 }): number {
  return 4 + (reply.directoryAttributes === undefined ? 0 : attributesBytes) + verifierBytes + 8;
}

/** fileid, name and cookie: what dircount of READDIRPLUS counts. */
export function nameInformationBytes(entry: DirectoryEntry): number {
  return 8 + 4 + ((entry.name.length + 3) & ~3) + 8;
}

/** An entry3, with the word that says that it follows. */
export function entryBytes(entry: DirectoryEntry): number {
  return 4 + nameInformationBytes(entry);
}

export const readdir: Nfs3Procedure<ReaddirArguments, ReaddirReply> = {
  number: 16,
  name: 'READDIR',
  idempotent: true,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.directory);
      writer.uint64(args.cookie);
      writeVerifier(writer, args.cookieVerifier);
      writer.uint32(args.directoryBytes);
    },
    decode(reader) {
      const directory = readHandle(reader);
      const cookie = reader.uint64();
      const cookieVerifier = readVerifier(reader);
      const directoryBytes = reader.uint32();
      return { directory, cookie, cookieVerifier, directoryBytes, replyBytes: directoryBytes };
    },
  },
  reply: replyUnion({
    encodeSuccess(writer, reply: ReaddirReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.directoryAttributes);
      writeVerifier(writer, reply.cookieVerifier);
      for (let i = 0; i < reply.entries.length; i++) {
        const entry = reply.entries[i]!;
        writer.bool(true);
        writer.uint64(entry.fileid);
        writer.binaryString(entry.name);
        writer.uint64(entry.cookie);
      }
      writer.bool(false);
      writer.bool(reply.eof);
    },
    decodeSuccess(reader) {
      const directoryAttributes = readOptionalAttributes(reader);
      const cookieVerifier = readVerifier(reader);
      const entries: DirectoryEntry[] = [];
      while (reader.bool()) {
        const fileid = reader.uint64();
        entries.push({ fileid, name: reader.binaryString(limits.nameBytes), cookie: reader.uint64() });
      }
      return { status: 0, directoryAttributes, cookieVerifier, entries, eof: reader.bool() };
    },
    ...directoryRefusal,
  }),
  refuse: refusePlain,
};
