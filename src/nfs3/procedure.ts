/** What all NFSv3 procedures share: the program's number, statuses on the wire, and the union of success and failure. */
import type { Procedure } from '../rpc/mod.ts';
import { type Failure, isKnownStatus, Status } from '../vfs/mod.ts';
import type { Codec, XdrReader, XdrWriter } from '../xdr/mod.ts';

/** RFC 1813 3.1. */
export const nfsProgram = { program: 100003, version: 3 } as const;

export interface Nfs3Procedure<Arguments, Reply> extends Procedure<Arguments, Reply> {
  /** Another program beside NFS that has it; NFS unless given. */
  readonly program?: { readonly program: number; readonly version: number };
  /** The reply with this failure and nothing that is optional. */
  refuse(status: Failure): Reply;
}

/**
 * A status that RFC 1813 does not know (some servers answer errno values or NFSv4's) is SERVERFAULT: it has the failure body like
 * all of them, and nobody above has to know it.
 */
export function readStatus(reader: XdrReader): 0 | Failure {
  const status = reader.uint32();
  return isKnownStatus(status) ? status : Status.SERVERFAULT;
}

export interface ReplyArms<Success extends { readonly status: 0 }, Refusal extends { readonly status: Failure }> {
  encodeSuccess(writer: XdrWriter, reply: Success): void;
  decodeSuccess(reader: XdrReader): Success;
  encodeRefusal(writer: XdrWriter, reply: Refusal): void;
  decodeRefusal(reader: XdrReader, status: Failure): Refusal;
}

/** `union switch (nfsstat3 status) { case NFS3_OK: resok; default: resfail; }` */
export function replyUnion<Success extends { readonly status: 0 }, Refusal extends { readonly status: Failure }>(
  arms: ReplyArms<Success, Refusal>,
): Codec<Success | Refusal> {
  return {
    encode(writer, reply) {
      writer.uint32(reply.status);
      if (reply.status === 0) arms.encodeSuccess(writer, reply as Success);
      else arms.encodeRefusal(writer, reply as Refusal);
    },
    decode(reader) {
      const status = readStatus(reader);
      return status === 0 ? arms.decodeSuccess(reader) : arms.decodeRefusal(reader, status);
    },
  };
}
