/** FSINFO: ask for transfer sizes and properties (RFC 1813 3.3.19). */
import type { FsinfoReply, GetattrArguments } from '../../vfs/mod.ts';
import { readOptionalAttributes, readSize, readTime, writeOptionalAttributes, writeTime } from '../attributes.ts';
import { attributesRefusal, refusePlain } from '../bodies.ts';
import { objectArguments } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const fsinfo: Nfs3Procedure<GetattrArguments, FsinfoReply> = {
  number: 19,
  name: 'FSINFO',
  idempotent: true,
  arguments: objectArguments,
  reply: replyUnion({
    encodeSuccess(writer, reply: FsinfoReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.attributes);
      writer.uint32(reply.readMaximum);
      writer.uint32(reply.readPreferred);
      writer.uint32(reply.readMultiple);
      writer.uint32(reply.writeMaximum);
      writer.uint32(reply.writePreferred);
      writer.uint32(reply.writeMultiple);
      writer.uint32(reply.readdirPreferred);
      writer.size64(reply.maximumFileBytes);
      writeTime(writer, reply.timeDelta);
      writer.uint32(reply.properties);
    },
    decodeSuccess(reader) {
      return {
        status: 0,
        attributes: readOptionalAttributes(reader),
        readMaximum: reader.uint32(),
        readPreferred: reader.uint32(),
        readMultiple: reader.uint32(),
        writeMaximum: reader.uint32(),
        writePreferred: reader.uint32(),
        writeMultiple: reader.uint32(),
        readdirPreferred: reader.uint32(),
        maximumFileBytes: readSize(reader),
        timeDelta: readTime(reader),
        properties: reader.uint32(),
      };
    },
    ...attributesRefusal,
  }),
  refuse: refusePlain,
};
