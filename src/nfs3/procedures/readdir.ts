/**
 * READDIR: read a directory (RFC 1813 3.3.16).
 *
 *     resok   attributes verifier (1 fileid name cookie)* 0 eof
 */
import type { DirectoryEntry, ReaddirArguments, ReaddirReply } from '../../vfs/mod.ts';
import { attributesBytes, readVerifier, verifierBytes, writeVerifier } from '../attributes.ts';
import { refusePlain } from '../bodies.ts';
import { listingReply } from '../listing.ts';
import { readHandle } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';

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
  reply: listingReply<DirectoryEntry>({
    encode() {},
    decode: (_reader, head) => head,
  }),
  refuse: refusePlain,
};
