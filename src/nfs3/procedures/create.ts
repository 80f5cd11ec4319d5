/** CREATE: make a regular file (RFC 1813 3.3.8). */
import type { CreateArguments, CreateReply } from '../../vfs/mod.ts';
import { readVerifier, setAttributes, writeVerifier } from '../attributes.ts';
import { createReply, refuseWithDirectoryWcc } from '../bodies.ts';
import { readPlace, writePlace } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';

/** createmode3 */
const modes = ['unchecked', 'guarded', 'exclusive'] as const;

export const create: Nfs3Procedure<CreateArguments, CreateReply> = {
  number: 8,
  name: 'CREATE',
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writePlace(writer, args.where);
      writer.uint32(modes.indexOf(args.how.mode));
      if (args.how.mode === 'exclusive') writeVerifier(writer, args.how.verifier);
      else setAttributes.encode(writer, args.how.set);
    },
    decode(reader) {
      const where = readPlace(reader);
      const mode = modes[reader.enumeration(2)]!;
      if (mode === 'exclusive') return { where, how: { mode, verifier: readVerifier(reader) } };
      return { where, how: { mode, set: setAttributes.decode(reader) } };
    },
  },
  reply: createReply,
  refuse: refuseWithDirectoryWcc,
};
