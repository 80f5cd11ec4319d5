/** PATHCONF: ask for POSIX limits (RFC 1813 3.3.20). */
import type { GetattrArguments, PathconfReply } from '../../vfs/mod.ts';
import { readOptionalAttributes, writeOptionalAttributes } from '../attributes.ts';
import { attributesRefusal, refusePlain } from '../bodies.ts';
import { objectArguments } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const pathconf: Nfs3Procedure<GetattrArguments, PathconfReply> = {
  number: 20,
  name: 'PATHCONF',
  idempotent: true,
  arguments: objectArguments,
  reply: replyUnion({
    encodeSuccess(writer, reply: PathconfReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.attributes);
      writer.uint32(reply.linkMaximum);
      writer.uint32(reply.nameMaximum);
      writer.bool(reply.noTruncation);
      writer.bool(reply.chownRestricted);
      writer.bool(reply.caseInsensitive);
      writer.bool(reply.casePreserving);
    },
    decodeSuccess(reader) {
      return {
        status: 0,
        attributes: readOptionalAttributes(reader),
        linkMaximum: reader.uint32(),
        nameMaximum: reader.uint32(),
        noTruncation: reader.bool(),
        chownRestricted: reader.bool(),
        caseInsensitive: reader.bool(),
        casePreserving: reader.bool(),
      };
    },
    ...attributesRefusal,
  }),
  refuse: refusePlain,
};
