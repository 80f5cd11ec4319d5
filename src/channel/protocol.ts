/**
 * The channel's program: what plain NFS lacks between two Viaducts, on the connection that NFS uses. docs/channel.md has the
 * whole wire format and the rule by which it may change.
 *
 *     client                                       server
 *     HELLO my versions, features, name, instance  ->  agreed version and features, server, its start
 *     LEASE_ACQUIRE tree                           ->  token        from then on in the verifier of every call
 *     WRITE, REMOVE, ... [token], WRITE_IF [token] ->  done, or ROFS if the token is not the current one
 *     LEASE_RENEW, LEASE_RELEASE
 */
import { limits } from '../base/mod.ts';
import type { Failure } from '../vfs/mod.ts';
import { isKnownStatus, Status } from '../vfs/mod.ts';
import { XdrError, type XdrReader, type XdrWriter } from '../xdr/mod.ts';

/** From the range that RFC 5531 13.1 leaves to sites (0x20000000 to 0x3fffffff). */
export const channelProgram = { program: 0x2056_4455, version: 1 } as const;

/**
 * Of the protocol that HELLO agrees on; the RPC program stays version 1. Version 1: HELLO says what the two can. Version 2: it is said at the
 * beginning of each connection too, and what comes over that one sees `.viaduct`.
 */
export const protocolVersion = 2;
/** From this one on. */
export const shownVersion = 2;

/** What a server may offer; names that the other side does not know are ignored. */
export const Feature = {
  /** LEASE_ACQUIRE, _RENEW, _RELEASE, _STATUS, and tokens checked on every mutating call. */
  LEASES: 'leases',
  /** WRITE_IF and SETATTR_IF. */
  CONDITIONAL: 'conditional',
  READ_VECTOR: 'read-vector',
  WALK: 'walk',
  IDENTITY: 'identity',
  /** WRITE_Z. */
  PUT: 'put',
  /** HAVE and WRITE_REF. */
  HAVE: 'have',
  /** PUBLISH_WORKING_SET. */
  WORKING_SETS: 'working-sets',
  /** COMMIT_THROUGH, PENDING, WRITE_BACK: what this server answers may not be at the origin yet. */
  CHAIN: 'chain',
} as const;

export const wireLimits = {
  features: 64,
  featureBytes: 64,
  /** Longest name of a host or holder (RFC 1813 5.1.3, MNTNAMLEN). */
  holderBytes: 255,
  instanceBytes: 16,
  tokenBytes: 8,
  /** Leases of one LEASE_STATUS reply. */
  leases: 64,
  /** Bytes of all ranges of one READ_VECTOR, and of one WRITE_Z: as of a READ and a WRITE. */
  packedBytes: limits.transferBytes,
  /** Data and zeros by turns: sectors of 4 KiB in any order, and some ends of ranges. */
  packedRuns: 1024,
  ranges: 256,
  walkNames: 32,
  /** Of one HAVE. */
  digests: 1024,
  /** Viaducts in a row that one PENDING tells of. */
  hops: 16,
  /** Of one WRITE_REF: as much as one WRITE. */
  references: 256,
  /** Of one set: its header, and five bytes for each block. */
  workingSetBytes: 128 + 5 * limits.workingSetBlocks,
} as const;

/** Fixed opaque of a length that the protocol says. */
export function writeExactly(writer: XdrWriter, value: string, length: number): void {
  if (value.length !== length) throw new XdrError(`${value.length} bytes where ${length} belong`);
  writer.fixedBinaryString(value);
}

/** The discriminant of a reply, which is the index of its name. */
export function readOutcome<Name extends string>(reader: XdrReader, names: readonly Name[]): Name {
  return names[reader.enumeration(names.length - 1)]!;
}

/** As NFS does: what RFC 1813 does not know is SERVERFAULT; success is none of the failures. */
export function readFailure(reader: XdrReader): Failure {
  const status = reader.uint32();
  return isKnownStatus(status) && status !== 0 ? status : Status.SERVERFAULT;
}
