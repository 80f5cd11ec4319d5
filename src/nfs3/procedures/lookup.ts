/** LOOKUP: find a name in a directory (RFC 1813 3.3.3). */
import type { LookupReply, Place } from '../../vfs/mod.ts';
import { readOptionalAttributes, writeOptionalAttributes } from '../attributes.ts';
import { directoryRefusal, refusePlain } from '../bodies.ts';
import { place, readHandle } from '../names.ts';
import { type Nfs3Procedure, replyUnion } from '../procedure.ts';

export const lookup: Nfs3Procedure<Place, LookupReply> = {
  number: 3,
  name: 'LOOKUP',
  idempotent: true,
  arguments: place,
  reply: replyUnion({
    encodeSuccess(writer, reply: LookupReply & { readonly status: 0 }) {
      writer.binaryString(reply.object);
      writeOptionalAttributes(writer, reply.attributes);
      writeOptionalAttributes(writer, reply.directoryAttributes);
    },
    decodeSuccess(reader) {
      return {
        status: 0,
        object: readHandle(reader),
        attributes: readOptionalAttributes(reader),
        directoryAttributes: readOptionalAttributes(reader),
      };
    },
    ...directoryRefusal,
  }),
  refuse: refusePlain,
};
