/**
 * Where a session's files really are, for whoever asks over the channel (IDENTITY).
 *
 *     directory, plain NFS server     named by what its handles are named by; shows what the origin itself shows
 *     another Viaduct                 what that one says, one hop further
 */
import { createHash } from 'node:crypto';
import type { Call, Filesystem, GetattrArguments, IdentityReply, OriginIdentifier } from '../vfs/mod.ts';

export interface NamedOrigin {
  readonly filesystem: Filesystem;
  readonly nfs?: { readonly data: OriginIdentifier & { canIdentify(): boolean } } | undefined;
}

export class OriginNames implements OriginIdentifier {
  readonly #origin: NamedOrigin;
  readonly #name: string;

  constructor(origin: NamedOrigin) {
    this.#origin = origin;
    const text = JSON.stringify(['origin', origin.filesystem.identity]);
    this.#name = createHash('sha256').update(text).digest().toString('latin1', 0, 16);
  }

  async identify(call: Call, args: GetattrArguments): Promise<IdentityReply> {
    const { filesystem, nfs } = this.#origin;
    if (nfs?.data.canIdentify() === true) {
      const reply = await nfs.data.identify(call, args);
      return reply.status === 0 ? { ...reply, hops: reply.hops + 1 } : reply;
    }
    const found = await filesystem.getattr(call, args);
    return found.status === 0 ? { status: 0, origin: this.#name, hops: 0, attributes: found.attributes } : found;
  }
}
