/** FSSTAT: ask for space and files that are free (RFC 1813 3.3.18). */
import type { FsstatReply, GetattrArguments } from '../../vfs/mod.ts';
import { readOptionalAttributes, readSize, writeOptionalAttributes } from '../attributes.ts';
import { attributesRefusal, refusePlain } from '../bodies.ts';
import { objectArguments } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const fsstat: Nfs3Procedure<GetattrArguments, FsstatReply> = {
  number: 18,
  name: 'FSSTAT',
  idempotent: true,
  arguments: objectArguments,
  reply: replyUnion({
    encodeSuccess(writer, reply: FsstatReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.attributes);
      writer.size64(reply.totalBytes);
      writer.size64(reply.freeBytes);
      writer.size64(reply.availableBytes);
      writer.size64(reply.totalFiles);
      writer.size64(reply.freeFiles);
      writer.size64(reply.availableFiles);
      writer.uint32(reply.invariantSeconds);
    },
    decodeSuccess(reader) {
      return {
        status: 0,
        attributes: readOptionalAttributes(reader),
        totalBytes: readSize(reader),
        freeBytes: readSize(reader),
        availableBytes: readSize(reader),
        totalFiles: readSize(reader),
        freeFiles: readSize(reader),
        availableFiles: readSize(reader),
        invariantSeconds: reader.uint32(),
      };
    },
    ...attributesRefusal,
  }),
  refuse: refusePlain,
};
