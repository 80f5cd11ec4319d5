/**
 * WALK: names looked up one in the other, in one round trip. Each look-up is a LOOKUP of its own to the server's stack, with its checks.
 *
 *     directory | name*            status of the look-up that failed, or 0 | (handle attributes)* | attributes of the last directory
 */
import {
  checkLookup,
  type Nfs3Procedure,
  readHandle,
  readName,
  readOptionalAttributes,
  readStatus,
  writeOptionalAttributes,
} from '../nfs3/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { XdrError } from '../xdr/mod.ts';
import { channelProgram, wireLimits } from './protocol.ts';

export const walk: Nfs3Procedure<vfs.WalkArguments, vfs.WalkReply> = {
  program: channelProgram,
  number: 9,
  name: 'WALK',
  idempotent: true,
  arguments: {
    encode(writer, { directory, names }) {
      if (names.length > wireLimits.walkNames) throw new XdrError(`${names.length} names`);
      writer.binaryString(directory);
      writer.uint32(names.length);
      for (const name of names) writer.binaryString(name);
    },
    decode(reader) {
      const directory = readHandle(reader);
      const count = reader.uint32();
      if (count > wireLimits.walkNames) throw new XdrError(`${count} names`);
      const names: string[] = [];
      for (let i = 0; i < count; i++) names.push(readName(reader));
      return { directory, names };
    },
  },
  reply: {
    encode(writer, { status, steps, directoryAttributes }) {
      writer.uint32(status);
      writer.uint32(steps.length);
      for (const { object, attributes } of steps) {
        writer.binaryString(object);
        writeOptionalAttributes(writer, attributes);
      }
      writeOptionalAttributes(writer, directoryAttributes);
    },
    decode(reader) {
      const status = readStatus(reader);
      const count = reader.uint32();
      if (count > wireLimits.walkNames) throw new XdrError(`${count} steps`);
      const steps: vfs.WalkStep[] = [];
      for (let i = 0; i < count; i++) {
        steps.push({ object: readHandle(reader), attributes: readOptionalAttributes(reader) });
      }
      return { status, steps, directoryAttributes: readOptionalAttributes(reader) };
    },
  },
  refuse: (status) => ({ status, steps: [] }),
};

export function checkWalk({ directory, names }: vfs.WalkArguments): vfs.Failure | 0 {
  if (directory.length === 0) return vfs.Status.BADHANDLE;
  return names.length === 0 ? vfs.Status.INVAL : 0;
}

/** At the server. */
export async function performWalk(
  filesystem: vfs.Filesystem,
  call: vfs.Call,
  { directory, names }: vfs.WalkArguments,
): Promise<vfs.WalkReply> {
  const steps: vfs.WalkStep[] = [];
  let at = directory;
  let directoryAttributes: vfs.Attributes | undefined;
  for (const name of names) {
    const place = { directory: at, name };
    const wrong = checkLookup(place);
    if (wrong !== 0) return { status: wrong, steps };
    const found = await filesystem.lookup(call, place);
    directoryAttributes = found.directoryAttributes;
    if (found.status !== 0) return { status: found.status, steps, directoryAttributes };
    const { object, attributes } = found;
    steps.push({ object, attributes });
    at = object;
  }
  return { status: 0, steps, directoryAttributes };
}

/** At the client: what is wrong with the reply. */
export function wrongWalk({ names }: vfs.WalkArguments, { status, steps }: vfs.WalkReply): string | undefined {
  if (steps.some((step) => step.object.length === 0)) return 'a handle without bytes';
  const isWrong = status === 0 ? steps.length !== names.length : steps.length >= names.length;
  return isWrong ? `${steps.length} steps for ${names.length} names, and status ${status}` : undefined;
}
