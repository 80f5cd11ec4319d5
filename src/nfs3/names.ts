/** Wire forms of handles, names and paths: nfs_fh3, post_op_fh3, filename3, nfspath3, diropargs3 (RFC 1813 2.4 to 2.6, 3.3). */
import { limits } from '../base/mod.ts';
import type { FileHandle, GetattrArguments, Place } from '../vfs/mod.ts';
import type { Codec, XdrReader, XdrWriter } from '../xdr/mod.ts';

/**
 * Longest name or path that is decoded. RFC 1813 sets none; what is longer than a file system allows is refused by the server with
 * NAMETOOLONG, which needs the arguments decoded.
 */
export const wireNameBytes = 2 * limits.pathBytes;

export function readHandle(reader: XdrReader): FileHandle {
  return reader.binaryString(limits.fileHandleBytes);
}

export function readName(reader: XdrReader): string {
  return reader.binaryString(wireNameBytes);
}

export function writePlace(writer: XdrWriter, value: Place): void {
  writer.binaryString(value.directory);
  writer.binaryString(value.name);
}

export function readPlace(reader: XdrReader): Place {
  return { directory: readHandle(reader), name: readName(reader) };
}

export const place: Codec<Place> = { encode: writePlace, decode: readPlace };

/** The arguments of all procedures on one object: an nfs_fh3. */
export const objectArguments: Codec<GetattrArguments> = {
  encode(writer, value) {
    writer.binaryString(value.object);
  },
  decode(reader) {
    return { object: readHandle(reader) };
  },
};

/** post_op_fh3 */
export function writeOptionalHandle(writer: XdrWriter, value: FileHandle | undefined): void {
  writer.bool(value !== undefined);
  if (value !== undefined) writer.binaryString(value);
}

export function readOptionalHandle(reader: XdrReader): FileHandle | undefined {
  return reader.bool() ? readHandle(reader) : undefined;
}
