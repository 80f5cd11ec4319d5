/** COMMIT: force what was written UNSTABLE to stable storage (RFC 1813 3.3.21). */
import type { CommitArguments, CommitReply } from '../../vfs/mod.ts';
import { readVerifier, readWcc, writeVerifier, writeWcc } from '../attributes.ts';
import { refuseWithWcc, wccRefusal } from '../bodies.ts';
import { readHandle } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const commit: Nfs3Procedure<CommitArguments, CommitReply> = {
  number: 21,
  name: 'COMMIT',
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
    encodeSuccess(writer, reply: CommitReply & { readonly status: 0 }) {
      writeWcc(writer, reply.wcc);
      writeVerifier(writer, reply.verifier);
    },
    decodeSuccess(reader) {
      return { status: 0, wcc: readWcc(reader), verifier: readVerifier(reader) };
    },
    ...wccRefusal,
  }),
  refuse: refuseWithWcc,
};
