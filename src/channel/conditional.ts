/**
 * WRITE_IF and SETATTR_IF: WRITE and SETATTR (RFC 1813 3.3.7, 3.3.2) behind a condition, `expected` of the `Filesystem` contract.
 *
 *     size(8) mtime(8) ctime(8) | the arguments of the NFS procedure          the reply is the NFS procedure's
 */
import { type Nfs3Procedure, procedures, readTime, writeTime } from '../nfs3/mod.ts';
import type { SetattrArguments, WccAttributes, WccReply, WriteArguments, WriteReply } from '../vfs/mod.ts';
import { type Codec, XdrError } from '../xdr/mod.ts';
import { channelProgram } from './protocol.ts';

/** wcc_attr (RFC 1813 2.6). */
const condition: Codec<WccAttributes> = {
  encode(writer, { size, mtime, ctime }) {
    writer.size64(size);
    writeTime(writer, mtime);
    writeTime(writer, ctime);
  },
  decode: (reader) => ({ size: reader.size64(), mtime: readTime(reader), ctime: readTime(reader) }),
};

/** In procedures that have it as an option. */
export const optionalCondition: Codec<WccAttributes | undefined> = {
  encode(writer, expected) {
    writer.bool(expected !== undefined);
    if (expected !== undefined) condition.encode(writer, expected);
  },
  decode: (reader) => (reader.bool() ? condition.decode(reader) : undefined),
};

function behindCondition<Arguments extends { readonly expected?: WccAttributes | undefined }, Reply>(
  number: number,
  plain: Nfs3Procedure<Arguments, Reply>,
): Nfs3Procedure<Arguments, Reply> {
  return {
    ...plain,
    program: channelProgram,
    number,
    name: `${plain.name}_IF`,
    arguments: {
      encode(writer, args) {
        const { expected } = args;
        if (expected === undefined) throw new XdrError(`${plain.name}_IF without a condition`);
        condition.encode(writer, expected);
        plain.arguments.encode(writer, args);
      },
      decode(reader) {
        const expected = condition.decode(reader);
        return { ...plain.arguments.decode(reader), expected };
      },
    },
  };
}

export const writeIf: Nfs3Procedure<WriteArguments, WriteReply> = behindCondition(6, procedures.write);
export const setattrIf: Nfs3Procedure<SetattrArguments, WccReply> = behindCondition(7, procedures.setattr);
