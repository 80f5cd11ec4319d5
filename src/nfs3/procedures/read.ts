/** READ: read from a file (RFC 1813 3.3.6). The data goes out and comes in as slices, uncopied. */
import { limits } from '../../base/mod.ts';
import type { ReadArguments, ReadReply } from '../../vfs/mod.ts';
import { readOptionalAttributes, writeOptionalAttributes } from '../attributes.ts';
import { attributesRefusal, refusePlain } from '../bodies.ts';
import { readHandle } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const read: Nfs3Procedure<ReadArguments, ReadReply> = {
  number: 6,
  name: 'READ',
  idempotent: true,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.object);
      writer.size64(args.offset);
      writer.uint32(args.count);
    },
    decode(reader) {
      return { object: readHandle(reader), offset: reader.size64(), count: reader.uint32() };
    },
  },
  reply: replyUnion({
    encodeSuccess(writer, reply: ReadReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.attributes);
      writer.uint32(reply.count);
      writer.bool(reply.eof);
      writer.slices(reply.data);
    },
    decodeSuccess(reader) {
      return {
        status: 0,
        attributes: readOptionalAttributes(reader),
        count: reader.uint32(),
        eof: reader.bool(),
        data: reader.slices(limits.replyRecordBytes),
      };
    },
    ...attributesRefusal,
  }),
  refuse: refusePlain,
};
