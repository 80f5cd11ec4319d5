/**
 * What an NFS origin that is a Viaduct does for the chain: says what it and those behind it keep, and brings that to the origin.
 *
 *     COMMIT, and what WRITE and SETATTR made stable ──reach: origin──► COMMIT_THROUGH       a plain server: COMMIT is all there is
 *
 * A server without the feature `chain` keeps nothing back, or is older than it and cannot say so.
 */
import { commitThrough, Feature, pending, writeBack } from '../channel/mod.ts';
import type { Nfs3Client } from '../nfs3/mod.ts';
import * as vfs from '../vfs/mod.ts';

const { Status } = vfs;

export class NfsChain implements vfs.ChainLink {
  readonly #client: Nfs3Client;
  readonly #features: () => readonly string[];

  constructor(client: Nfs3Client, features: () => readonly string[]) {
    this.#client = client;
    this.#features = features;
  }

  /** What the server answers may not be at the origin yet. */
  mayKeep(): boolean {
    return this.#features().includes(Feature.CHAIN);
  }

  async pending(call: vfs.Call, args: { readonly patienceMs: number }): Promise<vfs.ChainReply> {
    return this.mayKeep() ? this.#client.perform(pending, call, args) : { status: Status.NOTSUPP };
  }

  async writeBack(call: vfs.Call): Promise<vfs.WriteBackOutcome> {
    return this.mayKeep() ? this.#client.perform(writeBack, call, undefined) : { status: Status.NOTSUPP };
  }

  async commit(call: vfs.Call, args: vfs.CommitArguments): Promise<vfs.CommitReply> {
    if (!this.mayKeep()) return this.#client.commit(call, args);
    const reply = await this.#client.perform(commitThrough, call, args);
    // The server is another one by now.
    return reply.status === Status.NOTSUPP ? this.#client.commit(call, args) : reply;
  }

  /** A WRITE that was answered as stable. */
  async written(call: vfs.Call, args: vfs.WriteArguments, reply: vfs.WriteReply): Promise<vfs.WriteReply> {
    if (reply.status !== 0 || reply.committed === vfs.Stability.UNSTABLE) return reply;
    const { object, offset } = args;
    const done = await this.commit(call, { object, offset, count: reply.count });
    return done.status === 0 ? reply : done;
  }

  /** SETATTR is stable when it is answered (RFC 1813 4.8). */
  async changed(call: vfs.Call, { object }: vfs.SetattrArguments, reply: vfs.WccReply): Promise<vfs.WccReply> {
    if (reply.status !== 0 || reply.wcc.after?.type !== vfs.FileType.REGULAR) return reply;
    const done = await this.commit(call, { object, offset: 0, count: 0 });
    return done.status === 0 ? reply : done;
  }
}
