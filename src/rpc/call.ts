/**
 * The header of a call (RFC 5531 9): `xid CALL rpcvers prog vers proc cred verf`, then the arguments.
 *
 * The fields before `cred` are all that this file knows; `auth.ts` decodes the rest of the header.
 */
import type { XdrReader, XdrWriter } from '../xdr/mod.ts';
import { messageType, rpcVersion } from './message.ts';

/** Filled again for each call: the server decodes without allocating. */
export class CallHeader {
  xid = 0;
  rpcVersion = 0;
  program = 0;
  version = 0;
  procedure = 0;

  /** False if this is no call at all; throws `XdrError` if the record is too short. With another `rpcVersion` the rest is not read. */
  read(reader: XdrReader): boolean {
    this.xid = reader.uint32();
    if (reader.uint32() !== messageType.call) return false;
    this.rpcVersion = reader.uint32();
    if (this.rpcVersion !== rpcVersion) return true;
    this.program = reader.uint32();
    this.version = reader.uint32();
    this.procedure = reader.uint32();
    return true;
  }
}

/** Writes a call up to its arguments; `auth` is credential and verifier as encoded by `auth.ts`. */
export function writeCallHeader(
  writer: XdrWriter,
  xid: number,
  program: { readonly program: number; readonly version: number },
  procedure: number,
  auth: Uint8Array,
): void {
  writer.uint32(xid);
  writer.uint32(messageType.call);
  writer.uint32(rpcVersion);
  writer.uint32(program.program);
  writer.uint32(program.version);
  writer.uint32(procedure);
  writer.raw(auth);
}
