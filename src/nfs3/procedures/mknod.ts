/** MKNOD: make a special file (RFC 1813 3.3.11). Types other than these four have no further arguments. */
import { type CreateReply, FileType, type FileTypeCode, type MknodArguments } from '../../vfs/mod.ts';
import { setAttributes } from '../attributes.ts';
import { createReply, refuseWithDirectoryWcc } from '../bodies.ts';
import { readPlace, writePlace } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';

function isDevice(type: FileTypeCode): boolean {
  return type === FileType.BLOCK || type === FileType.CHARACTER;
}

function isSpecial(type: FileTypeCode): boolean {
  return isDevice(type) || type === FileType.SOCKET || type === FileType.FIFO;
}

export const mknod: Nfs3Procedure<MknodArguments, CreateReply> = {
  number: 11,
  name: 'MKNOD',
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writePlace(writer, args.where);
      writer.uint32(args.type);
      if (isSpecial(args.type)) setAttributes.encode(writer, args.set);
      if (!isDevice(args.type)) return;
      writer.uint32(args.deviceMajor);
      writer.uint32(args.deviceMinor);
    },
    decode(reader) {
      const where = readPlace(reader);
      const type = reader.enumeration(7, 1) as FileTypeCode;
      const set = isSpecial(type) ? setAttributes.decode(reader) : {};
      const deviceMajor = isDevice(type) ? reader.uint32() : 0;
      const deviceMinor = isDevice(type) ? reader.uint32() : 0;
      return { where, type, set, deviceMajor, deviceMinor };
    },
  },
  reply: createReply,
  refuse: refuseWithDirectoryWcc,
};
