/**
 * Leases of the server behind a proxy that keeps no changes: who asks the proxy is answered by the server, which knows where its files lie.
 * The tokens that it gives go with the calls of those who have them (`forwardsFencing`), so that it checks every change itself.
 *
 *     client ── LEASE_ACQUIRE ──► proxy ──► server          client ── WRITE [token] ──► proxy ── WRITE [token] ──► server
 */
import { ViaductError } from '../base/mod.ts';
import { channelClient } from '../channel/mod.ts';
import type { CallOptions, RpcCaller } from '../rpc/mod.ts';
import * as vfs from '../vfs/mod.ts';

export class LeaseRelay implements vfs.LeaseService {
  readonly #caller: RpcCaller;

  constructor(caller: RpcCaller) {
    this.#caller = caller;
  }

  acquire(call: vfs.Call, args: vfs.AcquireArguments): Promise<vfs.AcquireReply> {
    return asked(channelClient.acquire(this.#caller, args, optionsOf(call)));
  }
  renew(call: vfs.Call, args: vfs.LeaseReference): Promise<vfs.RenewReply> {
    return asked(channelClient.renew(this.#caller, args, optionsOf(call)));
  }
  release(call: vfs.Call, args: vfs.LeaseReference): Promise<vfs.ReleaseReply> {
    return asked(channelClient.release(this.#caller, args, optionsOf(call)));
  }
  status(call: vfs.Call, { tree }: { readonly tree: vfs.FileHandle }): Promise<vfs.LeaseStatusReply> {
    return asked(channelClient.status(this.#caller, tree, optionsOf(call)));
  }
}

function optionsOf({ credential, fencing }: vfs.Call): CallOptions {
  return { credential, fencing, priority: 'demand' };
}

/** A server that does not serve the channel any more cannot say who holds what: nobody is told that he lost it, either. */
function asked<Reply>(reply: Promise<Reply>): Promise<Reply | { outcome: 'refused'; status: vfs.Failure }> {
  return reply.catch((error: unknown) => {
    if (!(error instanceof ViaductError)) throw error;
    const status = error.code === 'RPC_UNAVAILABLE' ? vfs.Status.NOTSUPP : vfs.Status.IO;
    return { outcome: 'refused' as const, status };
  });
}
