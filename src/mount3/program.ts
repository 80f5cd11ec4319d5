/**
 * Serves MOUNT version 3 for one `Filesystem`, whose export is `/` (RFC 1813 appendix I).
 *
 * The list that DUMP shows is a courtesy: clients that vanish stay in it (RFC 1813 5.2.2 says so), so it is bounded and
 * forgets its oldest entry first.
 */
import type { RpcCall, RpcProgram, ServedProcedure } from '../rpc/mod.ts';
import type { Filesystem } from '../vfs/mod.ts';
import { type MountEntry, type MountReply, mountProgram, procedures } from './procedures.ts';
import { walk } from './walk.ts';

export interface Mount3ProgramOptions {
  readonly filesystem: Filesystem;
  /** Entries that DUMP remembers. */
  readonly remembered?: number;
}

/** AUTH_SYS, then AUTH_NONE (RFC 5531 8.1): the order is the server's preference. */
const flavors = [1, 0] as const;
const rememberedMounts = 1024;

export function mount3Program(options: Mount3ProgramOptions): RpcProgram {
  const mounts = new MountTable(options.remembered ?? rememberedMounts);
  const mnt: ServedProcedure<string, MountReply> = {
    procedure: procedures.mnt,
    async handle(rpcCall, path) {
      const call = { credential: rpcCall.credential, peer: rpcCall.peer, priority: 'demand' } as const;
      const found = await walk(options.filesystem, call, path);
      if (found.status !== 0) return found;
      mounts.add(rpcCall, path);
      return { status: 0, object: found.object, flavors };
    },
  };
  const dump: ServedProcedure<void, readonly MountEntry[]> = {
    procedure: procedures.dump,
    handle: () => mounts.entries(),
  };
  const umnt: ServedProcedure<string, void> = {
    procedure: procedures.umnt,
    handle: (rpcCall, path) => mounts.remove(rpcCall, path),
  };
  const umntall: ServedProcedure<void, void> = {
    procedure: procedures.umntall,
    handle: (rpcCall) => mounts.removeAll(rpcCall),
  };
  const exported: ServedProcedure<void, readonly { path: string; groups: readonly string[] }[]> = {
    procedure: procedures.export,
    handle: () => [{ path: '/', groups: [] }],
  };
  return { ...mountProgram, name: 'MOUNT', procedures: [undefined, mnt, dump, umnt, umntall, exported] };
}

class MountTable {
  readonly #entries = new Map<string, MountEntry>();
  readonly #remembered: number;

  constructor(remembered: number) {
    this.#remembered = remembered;
  }

  entries(): readonly MountEntry[] {
    return [...this.#entries.values()];
  }

  add(call: RpcCall, path: string): void {
    const key = keyOf(call, path);
    this.#entries.delete(key);
    this.#entries.set(key, { host: call.peerAddress, path });
    if (this.#entries.size <= this.#remembered) return;
    const oldest = this.#entries.keys().next().value;
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  remove(call: RpcCall, path: string): void {
    this.#entries.delete(keyOf(call, path));
  }

  removeAll(call: RpcCall): void {
    for (const [key, entry] of this.#entries) {
      if (entry.host === call.peerAddress) this.#entries.delete(key);
    }
  }
}

function keyOf(call: RpcCall, path: string): string {
  return `${call.peerAddress}\0${path}`;
}
