/**
 * READDIRPLUS: read a directory with attributes and handles (RFC 1813 3.3.17).
 *
 *     resok   attributes verifier (1 fileid name cookie post_op_attr post_op_fh3)* 0 eof
 */
import type { DirectoryEntryPlus, ReaddirArguments, ReaddirReply } from '../../vfs/mod.ts';
import {
  attributesBytes,
  readOptionalAttributes,
  readVerifier,
  writeOptionalAttributes,
  writeVerifier,
} from '../attributes.ts';
import { refusePlain } from '../bodies.ts';
import { listingReply } from '../listing.ts';
import { readHandle, readOptionalHandle, writeOptionalHandle } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';
import { entryBytes } from './readdir.ts';

type PlusReply = ReaddirReply<DirectoryEntryPlus>;

/** An entryplus3, with the word that says that it follows. */
export function entryPlusBytes(entry: DirectoryEntryPlus): number {
  const attributes = entry.attributes === undefined ? 4 : 4 + attributesBytes;
  const handle = entry.object === undefined ? 4 : 8 + ((entry.object.length + 3) & ~3);
  return entryBytes(entry) + attributes + handle;
}

export const readdirplus: Nfs3Procedure<ReaddirArguments, PlusReply> = {
  number: 17,
  name: 'READDIRPLUS',
  idempotent: true,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.directory);
      writer.uint64(args.cookie);
      writeVerifier(writer, args.cookieVerifier);
      writer.uint32(args.directoryBytes);
      writer.uint32(args.replyBytes);
    },
    decode(reader) {
      return {
        directory: readHandle(reader),
        cookie: reader.uint64(),
        cookieVerifier: readVerifier(reader),
        directoryBytes: reader.uint32(),
        replyBytes: reader.uint32(),
      };
    },
  },
  reply: listingReply<DirectoryEntryPlus>({
    encode(writer, entry) {
      writeOptionalAttributes(writer, entry.attributes);
      writeOptionalHandle(writer, entry.object);
    },
    decode(reader, head) {
      const attributes = readOptionalAttributes(reader);
      return { ...head, attributes, object: readOptionalHandle(reader) };
    },
  }),
  refuse: refusePlain,
};
