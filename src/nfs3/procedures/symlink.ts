/** SYMLINK: make a symbolic link (RFC 1813 3.3.10). */
import type { CreateReply, SymlinkArguments } from '../../vfs/mod.ts';
import { setAttributes } from '../attributes.ts';
import { createReply, refuseWithDirectoryWcc } from '../bodies.ts';
import { readName, readPlace, writePlace } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';

export const symlink: Nfs3Procedure<SymlinkArguments, CreateReply> = {
  number: 10,
  name: 'SYMLINK',
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writePlace(writer, args.where);
      setAttributes.encode(writer, args.set);
      writer.binaryString(args.target);
    },
    decode(reader) {
      return { where: readPlace(reader), set: setAttributes.decode(reader), target: readName(reader) };
    },
  },
  reply: createReply,
  refuse: refuseWithDirectoryWcc,
};
