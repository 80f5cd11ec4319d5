/** MKDIR: make a directory (RFC 1813 3.3.9). */
import type { CreateReply, MkdirArguments } from '../../vfs/mod.ts';
import { setAttributes } from '../attributes.ts';
import { createReply, refuseWithDirectoryWcc } from '../bodies.ts';
import { readPlace, writePlace } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';

export const mkdir: Nfs3Procedure<MkdirArguments, CreateReply> = {
  number: 9,
  name: 'MKDIR',
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writePlace(writer, args.where);
      setAttributes.encode(writer, args.set);
    },
    decode(reader) {
      return { where: readPlace(reader), set: setAttributes.decode(reader) };
    },
  },
  reply: createReply,
  refuse: refuseWithDirectoryWcc,
};
