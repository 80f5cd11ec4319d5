/** ACCESS: ask which permissions a caller has (RFC 1813 3.3.4). */
import type { AccessArguments, AccessReply } from '../../vfs/mod.ts';
import { readOptionalAttributes, writeOptionalAttributes } from '../attributes.ts';
import { attributesRefusal, refusePlain } from '../bodies.ts';
import { readHandle } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const access: Nfs3Procedure<AccessArguments, AccessReply> = {
  number: 4,
  name: 'ACCESS',
  idempotent: true,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.object);
      writer.uint32(args.access);
    },
    decode(reader) {
      return { object: readHandle(reader), access: reader.uint32() };
    },
  },
  reply: replyUnion({
    encodeSuccess(writer, reply: AccessReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.attributes);
      writer.uint32(reply.access);
    },
    decodeSuccess(reader) {
      return { status: 0, attributes: readOptionalAttributes(reader), access: reader.uint32() };
    },
    ...attributesRefusal,
  }),
  refuse: refusePlain,
};
