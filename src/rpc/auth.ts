/**
 * AUTH_NONE and AUTH_SYS (RFC 5531 8.2 and appendix A).
 *
 *     opaque_auth   flavor | length <= 400 | body
 *     AUTH_SYS body stamp | machine name <= 255 | uid | gid | gids <= 16
 *     verifier      AUTH_NONE, empty; or Viaduct's fencing flavor with the 8 bytes of a token (docs/channel.md)
 *
 * A peer sends the same few credentials in every call, so each connection remembers the parsed form and the verdict of the
 * peer policy by the body's bytes. The stamp is left out: some clients change it in every call.
 */
import { assert, limits } from '../base/mod.ts';
import { type Credential, credential, nobody } from '../vfs/mod.ts';
import { XdrError, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { type AuthStatus, authFlavor, authStatus, fencingBytes } from './message.ts';

/** Whether this peer may act as `uid`. Asked once for each credential, never once for each call. */
export type ClaimCheck = (uid: number) => boolean;

const rememberedCredentials = 64;

/** The credentials of one peer. */
export class CredentialReader {
  /** What the latest `read` found; meaningful if it returned `ok`. */
  credential: Credential = nobody;
  flavor: 'none' | 'sys' = 'none';
  /** The token in the verifier, eight bytes, one character each. */
  fencing: string | undefined;

  readonly #mayClaim: ClaimCheck;
  readonly #known = new Map<string, Credential | undefined>();

  constructor(mayClaim: ClaimCheck) {
    this.#mayClaim = mayClaim;
  }

  /** Decodes credential and verifier of a call. Throws `XdrError` if the record ends inside them. */
  read(reader: XdrReader): AuthStatus {
    const status = this.#readCredential(reader);
    if (status !== authStatus.ok) return status;
    // RFC 5531 appendix A: the verifier that goes with AUTH_SYS is AUTH_NONE, and that has a zero-length body (8.1).
    const flavor = reader.uint32();
    const length = reader.uint32();
    this.fencing = undefined;
    if (flavor === authFlavor.none && length === 0) return authStatus.ok;
    if (flavor !== authFlavor.fencing || length !== fencingBytes) return authStatus.badVerifier;
    this.fencing = reader.fixedBinaryString(fencingBytes);
    return authStatus.ok;
  }

  #readCredential(reader: XdrReader): AuthStatus {
    const flavor = reader.uint32();
    const length = reader.uint32();
    if (length > limits.authBytes) return authStatus.badCredential;
    if (flavor === authFlavor.none) {
      this.credential = nobody;
      this.flavor = 'none';
      reader.fixedBinaryString(length);
      return authStatus.ok;
    }
    if (flavor !== authFlavor.sys) return authStatus.rejectedCredential;
    if (length < 4) return authStatus.badCredential;
    reader.uint32();
    const body = reader.fixedBinaryString(length - 4);
    let known = this.#known.get(body);
    if (known === undefined) {
      known = this.#parse(body);
      if (known === undefined) return authStatus.badCredential;
      if (this.#known.size >= rememberedCredentials) this.#known.clear();
      this.#known.set(body, known);
    }
    this.credential = known;
    this.flavor = 'sys';
    return authStatus.ok;
  }

  #parse(body: string): Credential | undefined {
    const parsed = parseSysBody(body);
    return parsed !== undefined && this.#mayClaim(parsed.uid) ? parsed : undefined;
  }
}

function parseSysBody(body: string): Credential | undefined {
  try {
    const reader = new XdrReader([Buffer.from(body, 'latin1')]);
    reader.binaryString(limits.authMachineNameBytes);
    const uid = reader.uint32();
    const gid = reader.uint32();
    const count = reader.uint32();
    if (count > limits.authGroups) return undefined;
    const gids: number[] = [];
    for (let i = 0; i < count; i++) gids.push(reader.uint32());
    reader.end();
    return credential(uid, gid, gids);
  } catch (error) {
    if (error instanceof XdrError) return undefined;
    throw error;
  }
}

/**
 * AUTH_SYS credential and verifier as they stand in a call: AUTH_NONE, or the fencing token if there is one. More than 16 groups
 * are cut (RFC 5531 appendix A).
 */
export function encodeSysAuth(who: Credential, machineName: string, fencing?: string): Buffer {
  assert(fencing === undefined || fencing.length === fencingBytes, 'a fencing token has eight bytes');
  const body = new XdrWriter(512);
  body.uint32(0);
  body.binaryString(machineName.slice(0, limits.authMachineNameBytes));
  body.uint32(who.uid);
  body.uint32(who.gid);
  const count = Math.min(who.gids.length, limits.authGroups);
  body.uint32(count);
  for (let i = 0; i < count; i++) body.uint32(who.gids[i]!);
  const writer = new XdrWriter(512);
  writer.uint32(authFlavor.sys);
  writer.uint32(body.length());
  for (const piece of body.take()) writer.raw(piece);
  writer.uint32(fencing === undefined ? authFlavor.none : authFlavor.fencing);
  writer.binaryString(fencing ?? '');
  return Buffer.concat(writer.take());
}

/** AUTH_NONE credential and verifier as they stand in a call. */
export const encodedNoAuth: Buffer = Buffer.alloc(16);
