/** The numbers of ONC RPC version 2 (RFC 5531 9), under the RFC's names. */
export const rpcVersion = 2;

export const messageType = { call: 0, reply: 1 } as const;

export const replyStatus = { accepted: 0, denied: 1 } as const;

export const acceptStatus = {
  success: 0,
  programUnavailable: 1,
  programMismatch: 2,
  procedureUnavailable: 3,
  garbageArguments: 4,
  systemError: 5,
} as const;

export const rejectStatus = { rpcMismatch: 0, authError: 1 } as const;

/** `auth_stat` (RFC 5531 9): why a credential or verifier was refused. */
export const authStatus = {
  ok: 0,
  badCredential: 1,
  rejectedCredential: 2,
  badVerifier: 3,
  rejectedVerifier: 4,
  tooWeak: 5,
} as const;

export type AuthStatus = (typeof authStatus)[keyof typeof authStatus];

/** `auth_flavor` (RFC 5531 8.2); the others are refused with AUTH_REJECTEDCRED, as RFC 9289 4.1 wants for AUTH_TLS too. */
export const authFlavor = {
  none: 0,
  sys: 1,
  /**
   * Viaduct's own (`VDUC`; not registered): a verifier whose body is the 8 bytes of a fencing token (docs/channel.md). Only sent
   * to a server that gave out that token.
   */
  fencing: 0x5644_5543,
} as const;

export const fencingBytes = 8;
