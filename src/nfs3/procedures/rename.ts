/** RENAME: rename a file or directory (RFC 1813 3.3.14). */
import type { RenameArguments, RenameReply } from '../../vfs/mod.ts';
import { readWcc, writeWcc } from '../attributes.ts';
import { readPlace, writePlace } from '../names.ts';
import { type Nfs3Procedure, readStatus } from '../procedure.ts';

export const rename: Nfs3Procedure<RenameArguments, RenameReply> = {
  number: 14,
  name: 'RENAME',
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writePlace(writer, args.from);
      writePlace(writer, args.to);
    },
    decode(reader) {
      return { from: readPlace(reader), to: readPlace(reader) };
    },
  },
  reply: {
    encode(writer, reply) {
      writer.uint32(reply.status);
      writeWcc(writer, reply.fromWcc);
      writeWcc(writer, reply.toWcc);
    },
    decode(reader) {
      return { status: readStatus(reader), fromWcc: readWcc(reader), toWcc: readWcc(reader) };
    },
  },
  refuse: (status) => ({ status, fromWcc: {}, toWcc: {} }),
};
