/** SETATTR: set file attributes (RFC 1813 3.3.2). */
import type { SetattrArguments, WccReply } from '../../vfs/mod.ts';
import { readTime, readWcc, setAttributes, writeTime, writeWcc } from '../attributes.ts';
import { refuseWithWcc } from '../bodies.ts';
import { readHandle } from '../names.ts';
import { type Nfs3Procedure, readStatus } from '../procedure.ts';

export const setattr: Nfs3Procedure<SetattrArguments, WccReply> = {
  number: 2,
  name: 'SETATTR',
  // A truncation that is executed again, late, would cut off what was written since.
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.object);
      setAttributes.encode(writer, args.set);
      writer.bool(args.guard !== undefined);
      if (args.guard !== undefined) writeTime(writer, args.guard);
    },
    decode(reader) {
      return {
        object: readHandle(reader),
        set: setAttributes.decode(reader),
        guard: reader.bool() ? readTime(reader) : undefined,
      };
    },
  },
  reply: {
    encode(writer, reply) {
      writer.uint32(reply.status);
      writeWcc(writer, reply.wcc);
    },
    decode(reader) {
      return { status: readStatus(reader), wcc: readWcc(reader) };
    },
  },
  refuse: refuseWithWcc,
};
