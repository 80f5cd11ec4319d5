/** READLINK: read the path in a symbolic link (RFC 1813 3.3.5). */
import type { GetattrArguments, ReadlinkReply } from '../../vfs/mod.ts';
import { readOptionalAttributes, writeOptionalAttributes } from '../attributes.ts';
import { attributesRefusal, refusePlain } from '../bodies.ts';
import { objectArguments, readName } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const readlink: Nfs3Procedure<GetattrArguments, ReadlinkReply> = {
  number: 5,
  name: 'READLINK',
  idempotent: true,
  arguments: objectArguments,
  reply: replyUnion({
    encodeSuccess(writer, reply: ReadlinkReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.attributes);
      writer.binaryString(reply.target);
    },
    decodeSuccess(reader) {
      return { status: 0, attributes: readOptionalAttributes(reader), target: readName(reader) };
    },
    ...attributesRefusal,
  }),
  refuse: refusePlain,
};
