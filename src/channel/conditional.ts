/**
 * WRITE_IF and SETATTR_IF: WRITE and SETATTR (RFC 1813 3.3.7, 3.3.2) behind a condition, `expected` of the `Filesystem` contract.
 *
 *     size(8) mtime(8) ctime(8) | the arguments of the NFS procedure          the reply is the NFS procedure's
 */
import { type Nfs3Procedure, procedures } from '../nfs3/mod.ts';
import type { SetattrArguments, Time, WccAttributes, WccReply, WriteArguments, WriteReply } from '../vfs/mod.ts';
import { XdrError, type XdrReader, type XdrWriter } from '../xdr/mod.ts';
import { channelProgram } from './protocol.ts';

function writeTime(writer: XdrWriter, time: Time): void {
  writer.uint32(time.seconds);
  writer.uint32(time.nanoseconds);
}

function readTime(reader: XdrReader): Time {
  return { seconds: reader.uint32(), nanoseconds: reader.uint32() };
}

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
        writer.size64(expected.size);
        writeTime(writer, expected.mtime);
        writeTime(writer, expected.ctime);
        plain.arguments.encode(writer, args);
      },
      decode(reader) {
        const expected = { size: reader.size64(), mtime: readTime(reader), ctime: readTime(reader) };
        return { ...plain.arguments.decode(reader), expected };
      },
    },
  };
}

export const writeIf: Nfs3Procedure<WriteArguments, WriteReply> = behindCondition(6, procedures.write);
export const setattrIf: Nfs3Procedure<SetattrArguments, WccReply> = behindCondition(7, procedures.setattr);
