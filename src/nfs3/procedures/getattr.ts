/** GETATTR: get file attributes (RFC 1813 3.3.1). */
import type { Failure, GetattrArguments, GetattrReply } from '../../vfs/mod.ts';
import { readAttributes, writeAttributes } from '../attributes.ts';
import { refusePlain } from '../bodies.ts';
import { objectArguments } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const getattr: Nfs3Procedure<GetattrArguments, GetattrReply> = {
  number: 1,
  name: 'GETATTR',
  idempotent: true,
  arguments: objectArguments,
  reply: replyUnion({
    encodeSuccess(writer, reply: GetattrReply & { readonly status: 0 }) {
      writeAttributes(writer, reply.attributes);
    },
    decodeSuccess(reader) {
      return { status: 0, attributes: readAttributes(reader) };
    },
    encodeRefusal() {},
    decodeRefusal(_reader, status: Failure) {
      return { status };
    },
  }),
  refuse: refusePlain,
};
