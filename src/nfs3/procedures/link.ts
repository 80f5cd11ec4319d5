/** LINK: give a file another name (RFC 1813 3.3.15). */
import type { LinkArguments, LinkReply } from '../../vfs/mod.ts';
import { readOptionalAttributes, readWcc, writeOptionalAttributes, writeWcc } from '../attributes.ts';
import { refuseWithDirectoryWcc } from '../bodies.ts';
import { readHandle, readPlace, writePlace } from '../names.ts';
import { type Nfs3Procedure, readStatus } from '../procedure.ts';

export const link: Nfs3Procedure<LinkArguments, LinkReply> = {
  number: 15,
  name: 'LINK',
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.object);
      writePlace(writer, args.where);
    },
    decode(reader) {
      return { object: readHandle(reader), where: readPlace(reader) };
    },
  },
  reply: {
    encode(writer, reply) {
      writer.uint32(reply.status);
      writeOptionalAttributes(writer, reply.attributes);
      writeWcc(writer, reply.directoryWcc);
    },
    decode(reader) {
      return {
        status: readStatus(reader),
        attributes: readOptionalAttributes(reader),
        directoryWcc: readWcc(reader),
      };
    },
  },
  refuse: refuseWithDirectoryWcc,
};
