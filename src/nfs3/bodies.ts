/** Reply bodies that several procedures share. */
import type { Attributes, CreateReply, Failure, RemoveReply, WccData } from '../vfs/mod.ts';
import type { Codec, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { readOptionalAttributes, readWcc, writeOptionalAttributes, writeWcc } from './attributes.ts';
import { readOptionalHandle, writeOptionalHandle } from './names.ts';
import { readStatus, replyUnion } from './procedure.ts';

interface AttributesRefusal {
  readonly status: Failure;
  readonly attributes?: Attributes | undefined;
}
/** The failure body that is one post_op_attr. */
export const attributesRefusal = {
  encodeRefusal(writer: XdrWriter, reply: AttributesRefusal): void {
    writeOptionalAttributes(writer, reply.attributes);
  },
  decodeRefusal(reader: XdrReader, status: Failure): AttributesRefusal {
    return { status, attributes: readOptionalAttributes(reader) };
  },
};

interface DirectoryRefusal {
  readonly status: Failure;
  readonly directoryAttributes?: Attributes | undefined;
}
/** The failure body that is the directory's post_op_attr. */
export const directoryRefusal = {
  encodeRefusal(writer: XdrWriter, reply: DirectoryRefusal): void {
    writeOptionalAttributes(writer, reply.directoryAttributes);
  },
  decodeRefusal(reader: XdrReader, status: Failure): DirectoryRefusal {
    return { status, directoryAttributes: readOptionalAttributes(reader) };
  },
};

interface WccRefusal {
  readonly status: Failure;
  readonly wcc: WccData;
}
/** The failure body that is the file's wcc_data. */
export const wccRefusal = {
  encodeRefusal(writer: XdrWriter, reply: WccRefusal): void {
    writeWcc(writer, reply.wcc);
  },
  decodeRefusal(reader: XdrReader, status: Failure): WccRefusal {
    return { status, wcc: readWcc(reader) };
  },
};

/** CREATE, MKDIR, SYMLINK and MKNOD answer alike (RFC 1813 3.3.8 to 3.3.11). */
export const createReply: Codec<CreateReply> = replyUnion({
  encodeSuccess(writer, reply: CreateReply & { readonly status: 0 }) {
    writeOptionalHandle(writer, reply.object);
    writeOptionalAttributes(writer, reply.attributes);
    writeWcc(writer, reply.directoryWcc);
  },
  decodeSuccess(reader) {
    return {
      status: 0,
      object: readOptionalHandle(reader),
      attributes: readOptionalAttributes(reader),
      directoryWcc: readWcc(reader),
    };
  },
  encodeRefusal(writer, reply: CreateReply & { readonly status: Failure }) {
    writeWcc(writer, reply.directoryWcc);
  },
  decodeRefusal(reader, status) {
    return { status, directoryWcc: readWcc(reader) };
  },
});

/** REMOVE and RMDIR answer alike, whether they succeed or not (RFC 1813 3.3.12, 3.3.13). */
export const removeReply: Codec<RemoveReply> = {
  encode(writer, reply) {
    writer.uint32(reply.status);
    writeWcc(writer, reply.directoryWcc);
  },
  decode(reader) {
    return { status: readStatus(reader), directoryWcc: readWcc(reader) };
  },
};

export function refuseWithDirectoryWcc(status: Failure): { status: Failure; directoryWcc: WccData } {
  return { status, directoryWcc: {} };
}

export function refuseWithWcc(status: Failure): { status: Failure; wcc: WccData } {
  return { status, wcc: {} };
}

export function refusePlain(status: Failure): { status: Failure } {
  return { status };
}
