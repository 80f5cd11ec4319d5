/**
 * WRITE_Z: WRITE, with a condition or without, of packed data.
 *
 *     wcc_attr *expected | handle offset(8) stable | packed            the reply is WRITE's
 */
import { checkWrite, type Nfs3Procedure, procedures, readHandle, refuseWithWcc } from '../nfs3/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { optionalCondition } from './conditional.ts';
import { type Packed, packedBytes, packedCodec, unpack } from './packed.ts';
import { channelProgram } from './protocol.ts';

export interface PackedWrite extends Omit<vfs.WriteArguments, 'count' | 'data'> {
  readonly packed: Packed;
}

export const writePacked: Nfs3Procedure<PackedWrite, vfs.WriteReply> = {
  program: channelProgram,
  number: 11,
  name: 'WRITE_Z',
  idempotent: true,
  arguments: {
    encode(writer, { object, offset, stable, expected, packed }) {
      optionalCondition.encode(writer, expected);
      writer.binaryString(object);
      writer.size64(offset);
      writer.uint32(stable);
      packedCodec.encode(writer, packed);
    },
    decode(reader) {
      const expected = optionalCondition.decode(reader);
      const object = readHandle(reader);
      const offset = reader.size64();
      const stable = reader.enumeration(2) as vfs.StabilityCode;
      return { object, offset, stable, expected, packed: packedCodec.decode(reader) };
    },
  },
  reply: procedures.write.reply,
  refuse: refuseWithWcc,
};

/** At the server. What is damaged changes nothing. */
export async function performWritePacked(
  filesystem: vfs.Filesystem,
  call: vfs.Call,
  { packed, ...rest }: PackedWrite,
): Promise<vfs.WriteReply> {
  const data = await unpack(packed);
  if (data === undefined) return refuseWithWcc(vfs.Status.INVAL);
  const args = { ...rest, count: packedBytes(packed), data };
  const wrong = checkWrite(args);
  // Nobody waits for one of them, and behind another Viaduct it goes on as it came.
  return wrong === 0 ? filesystem.write({ ...call, priority: 'prefetch' }, args) : refuseWithWcc(wrong);
}
