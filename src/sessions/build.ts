/** From the description of a stack to the stack: opens the origin and puts the layers on it, in the worker's thread. */
import { type Clock, type Log, limits, type Random } from '../base/mod.ts';
import type { CleanCache } from '../cache/mod.ts';
import {
  AccessCache,
  AttributeCache,
  BlockCache,
  defaultReadAhead,
  Identity,
  noReadAhead,
  OriginPresence,
  Outage,
  Stability,
  Stats,
} from '../layers/mod.ts';
import { type NfsOrigin, openDirectoryOrigin, openNfsOrigin, parseOrigin } from '../origins/mod.ts';
import type { RpcProgram } from '../rpc/mod.ts';
import { credential, type Filesystem } from '../vfs/mod.ts';
import { type ServedOrigin, SessionChannel } from './channel.ts';
import { ReadOnly } from './read-only.ts';
import type { LayerDescription, StackDescription } from './stack.ts';
import type { SessionWriteBack } from './write-back.ts';
import type { LeftBehind } from './write-back-status.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Present if the description has a block cache. */
  readonly cache: CleanCache | undefined;
}

export interface Stack {
  readonly top: Filesystem;
  /** What is served beside NFS and MOUNT. */
  readonly programs: readonly RpcProgram[];
  /** Counters by layer. */
  stats(): Record<string, object>;
  readonly writeBack: SessionWriteBack | undefined;
  /** Everything that is cached is forgotten. */
  invalidate(): Promise<void>;
  /** What its log still holds, if it has one. */
  close(): Promise<LeftBehind | undefined>;
}

export async function buildStack(description: StackDescription, surroundings: Surroundings): Promise<Stack> {
  const counters: Record<string, () => object> = {};
  const origin = await openOrigin(description.origin, surroundings);
  const { filesystem, nfs } = origin;
  const presence = watchOrigin(nfs, surroundings);
  if (nfs !== undefined) counters.presence = presence.stats.bind(presence);
  const caches: (BlockCache | AccessCache | AttributeCache)[] = [];
  let channel: SessionChannel | undefined;
  let top = filesystem;
  if ('stats' in top && typeof top.stats === 'function') counters.origin = top.stats.bind(top);
  for (const layer of description.layers.toReversed()) {
    let built: Filesystem;
    if (layer.layer === 'leases') {
      const { stateDirectory } = description.origin;
      channel = new SessionChannel(top, origin, layer.takeover, { ...surroundings, stateDirectory });
      built = channel.layer;
    } else built = buildLayer(layer, top, { ...surroundings, presence });
    top = built;
    // Before the first reply of a server that came back is passed on: it may have lost what was unstable.
    if (built instanceof Stability) nfs?.listen({ onReconnect: () => built.originMayHaveRestarted() });
    if (built instanceof BlockCache || built instanceof AccessCache || built instanceof AttributeCache)
      caches.push(built);
    if ('stats' in built && typeof built.stats === 'function') counters[layer.layer] = built.stats.bind(built);
    else if (built instanceof Stats) counters[layer.layer] = () => built.snapshot();
  }
  return {
    top,
    programs: channel === undefined ? [] : [channel.program(top)],
    stats: () => Object.fromEntries(Object.entries(counters).map(([name, count]) => [name, count()])),
    writeBack: undefined,
    // From the bottom up: what a layer above asks for is new by then.
    invalidate: async () => {
      for (const cache of caches) await cache.invalidate();
    },
    close: async () => {
      await top.close();
      return undefined;
    },
  };
}

interface Origin extends ServedOrigin {
  /** Absent if the origin cannot go away. */
  readonly nfs?: NfsOrigin;
}

function watchOrigin(nfs: NfsOrigin | undefined, { clock, log }: Surroundings): OriginPresence {
  const receivedBytes = nfs === undefined ? undefined : () => nfs.stats().bytesIn;
  const presence = new OriginPresence({ clock, log, receivedBytes });
  nfs?.listen({ onReply: () => presence.replied(), onLost: (reason) => presence.lost(reason) });
  return presence;
}

/** Callers use their own credentials; the origin is mounted and checked with ours. */
async function openOrigin(origin: StackDescription['origin'], { clock, log, random }: Surroundings): Promise<Origin> {
  const address = parseOrigin(origin.text);
  const tools = { clock, log, random };
  const { stateDirectory } = origin;
  if (address.kind === 'directory') {
    const directory = await openDirectoryOrigin({ path: address.path, stateDirectory, ...tools });
    return { filesystem: directory, locator: directory.locator };
  }
  const connections = address.connections ?? origin.connections;
  const self = credential(
    process.getuid?.() ?? 0,
    process.getgid?.() ?? 0,
    process.getgroups?.().slice(0, limits.authGroups) ?? [],
  );
  const opened = await openNfsOrigin({ address, connections, credential: self, stateDirectory, ...tools });
  return { filesystem: opened, nfs: opened };
}

function buildLayer(
  description: Exclude<LayerDescription, { layer: 'leases' }>,
  next: Filesystem,
  { clock, log, random, cache, presence }: Surroundings & { readonly presence: OriginPresence },
): Filesystem {
  switch (description.layer) {
    case 'identity':
      return new Identity(next, { options: { squash: description.squash } });
    case 'read-only':
      return new ReadOnly(next);
    case 'stats':
      return new Stats(next, { clock });
    case 'outage':
      return new Outage(next, { clock, presence, options: description });
    case 'write-back':
      throw new Error('there is no write-back yet');
    case 'block-cache': {
      if (cache === undefined) throw new Error('the stack has a block cache and the session no cache');
      const { readAheadBytes, soleWriter } = description;
      const readAhead = readAheadBytes === 0 ? noReadAhead : { ...defaultReadAhead, mostBytes: readAheadBytes };
      return new BlockCache(next, { cache, clock, log, readAhead, soleWriter });
    }
    case 'access-cache':
      return new AccessCache(next, { clock, presence });
    case 'attribute-cache':
      return new AttributeCache(next, { clock, options: description.times, presence });
    case 'stability':
      return new Stability(next, { clock, log, random });
  }
}
