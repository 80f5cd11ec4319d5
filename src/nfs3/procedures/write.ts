/** WRITE: write to a file (RFC 1813 3.3.7). The data goes out and comes in as slices, uncopied. */
import { limits } from '../../base/mod.ts';
import type { StabilityCode, WriteArguments, WriteReply } from '../../vfs/mod.ts';
import { readVerifier, readWcc, writeVerifier, writeWcc } from '../attributes.ts';
import { refuseWithWcc, wccRefusal } from '../bodies.ts';
import { readHandle } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const write: Nfs3Procedure<WriteArguments, WriteReply> = {
  number: 7,
  name: 'WRITE',
  // The same bytes to the same place; keeping 1 MiB calls apart by checksum would cost more than it guards.
  idempotent: true,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.object);
      writer.size64(args.offset);
      writer.uint32(args.count);
      writer.uint32(args.stable);
      writer.slices(args.data);
    },
    decode(reader) {
      return {
        object: readHandle(reader),
        offset: reader.size64(),
        count: reader.uint32(),
        stable: reader.enumeration(2) as StabilityCode,
        data: reader.slices(limits.transferBytes),
      };
    },
  },
  reply: replyUnion({
    encodeSuccess(writer, reply: WriteReply & { readonly status: 0 }) {
      writeWcc(writer, reply.wcc);
      writer.uint32(reply.count);
      writer.uint32(reply.committed);
      writeVerifier(writer, reply.verifier);
    },
    decodeSuccess(reader) {
      return {
        status: 0,
        wcc: readWcc(reader),
        count: reader.uint32(),
        committed: reader.enumeration(2) as StabilityCode,
        verifier: readVerifier(reader),
      };
    },
    ...wccRefusal,
  }),
  refuse: refuseWithWcc,
};
