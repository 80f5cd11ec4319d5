/**
 * PUBLISH_WORKING_SET: what one run of a guest touched of a file, for whoever uses the file next. Under a permission of its own, that
 * is not about changing the file; the server merges and bounds.
 *
 *     directory | name | the set's file as in docs/content-format.md          status
 */
import { checkLookup, type Nfs3Procedure, readHandle, readName, readStatus } from '../nfs3/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { channelProgram, wireLimits } from './protocol.ts';

export interface PublishReply {
  readonly status: 0 | vfs.Failure;
}

export const publishWorkingSet: Nfs3Procedure<vfs.PublishArguments, PublishReply> = {
  program: channelProgram,
  number: 14,
  name: 'PUBLISH_WORKING_SET',
  idempotent: true,
  arguments: {
    encode(writer, { place, set }) {
      writer.binaryString(place.directory);
      writer.binaryString(place.name);
      writer.opaque(set);
    },
    decode(reader) {
      const place = { directory: readHandle(reader), name: readName(reader) };
      return { place, set: reader.opaque(wireLimits.workingSetBytes) };
    },
  },
  reply: {
    encode: (writer, { status }) => writer.uint32(status),
    decode: (reader) => ({ status: readStatus(reader) }),
  },
  refuse: (status) => ({ status }),
};

export function checkPublish({ place }: vfs.PublishArguments): vfs.Failure | 0 {
  if (place.name === '.' || place.name === '..') return vfs.Status.INVAL;
  return checkLookup(place);
}
