/** IDENTITY: where a file really is, and what its origin shows of it, through any number of Viaducts. */
import { type Nfs3Procedure, readAttributes, readHandle, replyUnion, writeAttributes } from '../nfs3/mod.ts';
import type { Failure, GetattrArguments, IdentityReply } from '../vfs/mod.ts';
import { channelProgram, wireLimits, writeExactly } from './protocol.ts';

export const identity: Nfs3Procedure<GetattrArguments, IdentityReply> = {
  program: channelProgram,
  number: 10,
  name: 'IDENTITY',
  idempotent: true,
  arguments: {
    encode: (writer, { object }) => writer.binaryString(object),
    decode: (reader) => ({ object: readHandle(reader) }),
  },
  reply: replyUnion({
    encodeSuccess(writer, { origin, hops, attributes }: IdentityReply & { readonly status: 0 }) {
      writeExactly(writer, origin, wireLimits.instanceBytes);
      writer.uint32(hops);
      writeAttributes(writer, attributes);
    },
    decodeSuccess(reader): IdentityReply & { readonly status: 0 } {
      const origin = reader.fixedBinaryString(wireLimits.instanceBytes);
      return { status: 0, origin, hops: reader.uint32(), attributes: readAttributes(reader) };
    },
    encodeRefusal() {},
    decodeRefusal: (_reader, status): IdentityReply & { readonly status: Failure } => ({ status }),
  }),
  refuse: (status) => ({ status }),
};
