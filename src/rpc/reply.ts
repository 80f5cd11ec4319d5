/**
 * The header of a reply and its arms (RFC 5531 9).
 *
 *     xid REPLY MSG_ACCEPTED verf  SUCCESS results
 *                                  PROG_UNAVAIL | PROG_MISMATCH low high | PROC_UNAVAIL | GARBAGE_ARGS | SYSTEM_ERR
 *               MSG_DENIED   RPC_MISMATCH low high | AUTH_ERROR auth_stat
 */
import { limits, ViaductError } from '../base/mod.ts';
import type { XdrReader, XdrWriter } from '../xdr/mod.ts';
import {
  type AuthStatus,
  acceptStatus,
  authFlavor,
  authStatus,
  messageType,
  rejectStatus,
  replyStatus,
  rpcVersion,
} from './message.ts';

/** An accepted reply up to what follows its status; our verifier is always AUTH_NONE. */
export function writeAccepted(writer: XdrWriter, xid: number, status: number): void {
  writer.uint32(xid);
  writer.uint32(messageType.reply);
  writer.uint32(replyStatus.accepted);
  writer.uint32(authFlavor.none);
  writer.uint32(0);
  writer.uint32(status);
}

export function writeProgramMismatch(writer: XdrWriter, xid: number, low: number, high: number): void {
  writeAccepted(writer, xid, acceptStatus.programMismatch);
  writer.uint32(low);
  writer.uint32(high);
}

export function writeRpcMismatch(writer: XdrWriter, xid: number): void {
  writeDenied(writer, xid, rejectStatus.rpcMismatch);
  writer.uint32(rpcVersion);
  writer.uint32(rpcVersion);
}

export function writeAuthError(writer: XdrWriter, xid: number, status: AuthStatus): void {
  writeDenied(writer, xid, rejectStatus.authError);
  writer.uint32(status);
}

function writeDenied(writer: XdrWriter, xid: number, status: number): void {
  writer.uint32(xid);
  writer.uint32(messageType.reply);
  writer.uint32(replyStatus.denied);
  writer.uint32(status);
}

/** Who was called, for the text of an error. */
export interface CallName {
  readonly server: string;
  readonly program: number;
  readonly version: number;
  readonly procedure: string;
}

/**
 * Decodes a reply's header behind xid and REPLY. Undefined for SUCCESS, with the reader at the results; else the error with
 * which the call fails. Throws `XdrError` if the header does not decode.
 */
export function readReplyStatus(reader: XdrReader, name: CallName): ViaductError | undefined {
  if (reader.enumeration(replyStatus.denied) === replyStatus.denied) return readDenied(reader, name);
  reader.uint32();
  reader.slices(limits.authBytes);
  const status = reader.enumeration(acceptStatus.systemError);
  if (status === acceptStatus.success) return undefined;
  return acceptedError(status, reader, name);
}

function acceptedError(status: number, reader: XdrReader, name: CallName): ViaductError {
  const program = `program ${name.program} version ${name.version}`;
  switch (status) {
    case acceptStatus.programUnavailable:
      return unavailable(`${name.server} does not serve ${program}`);
    case acceptStatus.programMismatch: {
      const low = reader.uint32();
      const high = reader.uint32();
      return unavailable(
        `${name.server} serves program ${name.program} in versions ${low} to ${high}, not ${name.version}`,
      );
    }
    case acceptStatus.procedureUnavailable:
      return unavailable(`${name.server} does not serve ${name.procedure} of ${program}`);
    case acceptStatus.garbageArguments:
      return new ViaductError('UNEXPECTED', {
        cause: `${name.server} could not decode the arguments of ${name.procedure} (${program})`,
        remedy: 'Report this with the name and version of the server.',
      });
    default:
      return new ViaductError('ORIGIN_REFUSED', {
        cause: `${name.server} answered ${name.procedure} (${program}) with SYSTEM_ERR`,
        remedy: 'Look into the log of the server.',
      });
  }
}

function unavailable(cause: string): ViaductError {
  return new ViaductError('RPC_UNAVAILABLE', {
    cause,
    remedy: 'Check that the address and port are those of an NFSv3 server.',
  });
}

function readDenied(reader: XdrReader, name: CallName): ViaductError {
  if (reader.enumeration(rejectStatus.authError) === rejectStatus.rpcMismatch) {
    const low = reader.uint32();
    const high = reader.uint32();
    return unavailable(`${name.server} speaks RPC versions ${low} to ${high}, not ${rpcVersion}`);
  }
  const status = reader.uint32();
  const remedy =
    status === authStatus.tooWeak
      ? 'Let the export accept sec=sys and, if it wants source ports below 1024, use a privileged port.'
      : 'Check that the export accepts AUTH_SYS and this user.';
  return new ViaductError('ORIGIN_REFUSED', {
    cause: `${name.server} refused the credential of ${name.procedure} (auth_stat ${status})`,
    remedy,
  });
}
