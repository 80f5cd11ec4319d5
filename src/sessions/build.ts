/** From the description of a stack to the stack: opens the origin and puts the layers on it, in the worker's thread. */
import { hostname } from 'node:os';
import type { Clock, Log, Random } from '../base/mod.ts';
import type { CacheOwner, CacheStore, CleanCache } from '../cache/mod.ts';
import type { DirtyLog } from '../dirty/mod.ts';
import {
  AccessCache,
  AttributeCache,
  BlockCache,
  Content,
  defaultReadAhead,
  FilesystemFacts,
  Hidden,
  Identity,
  Keepsakes,
  noReadAhead,
  OriginPresence,
  Outage,
  type ReadAheadOptions,
  Stability,
  Stats,
  type WorkingSets,
  type WriteBack,
} from '../layers/mod.ts';
import { type NfsOrigin, openDirectoryOrigin, openNfsOrigin, parseOrigin } from '../origins/mod.ts';
import type { RpcProgram } from '../rpc/mod.ts';
import type { Attributes, FileHandle, FileRuleSet, Filesystem } from '../vfs/mod.ts';
import { buildContent } from './build-content.ts';
import { buildKeepsakes } from './build-keepsakes.ts';
import { buildWorkingSets, publisherFor } from './build-working-sets.ts';
import {
  acquireLease,
  buildWriteBack,
  newInstance,
  noteInstance,
  ownCredential,
  type WriteBackGround,
} from './build-write-back.ts';
import { SessionChain } from './chain.ts';
import { type ServedOrigin, SessionLeases, sessionChannel } from './channel.ts';
import { closeAfterError, closeEach } from './close-each.ts';
import { FileGuard } from './file-guard.ts';
import { FileRules } from './file-rules.ts';
import { LinkFile } from './link-file.ts';
import { refuseIfEnded, unlessEnded } from './opening-end.ts';
import { Paths } from './paths.ts';
import { ReadOnly } from './read-only.ts';
import type { SessionLease } from './session-lease.ts';
import { holdsLog, openSessionLog } from './session-log.ts';
import type { HintsUse, SharedHints } from './shared-hints.ts';
import type { LayerDescription, StackDescription } from './stack.ts';
import type { SessionWarming } from './warming.ts';
import type { SessionWriteBack } from './write-back.ts';
import type { LeftBehind } from './write-back-status.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Present if the description has a block cache. */
  readonly cache: CleanCache | undefined;
  /** On whose account blocks are kept in it; default: nobody's. */
  readonly owner?: CacheOwner | undefined;
  /** What is known of where chunks lie in that cache; default: a session's own. */
  readonly hints?: SharedHints | undefined;
  /** It is not wanted any more: then OpeningEnded is thrown. */
  readonly ending?: AbortSignal | undefined;
}

export interface Stack {
  readonly top: Filesystem;
  /** What is served beside NFS and MOUNT. */
  readonly programs: readonly RpcProgram[];
  /** Counters by layer. */
  stats(): Record<string, object>;
  readonly writeBack: SessionWriteBack | undefined;
  readonly chain: SessionChain;
  readonly warming: SessionWarming | undefined;
  /** The file that a path means. */
  findFile(path: string): Promise<FileHandle>;
  /** Everything that is cached is forgotten. */
  invalidate(): Promise<void>;
  forgetAttributes(): void;
  /** In place of the rules for files that held so far. Of a proxy. */
  setFiles(set: FileRuleSet): void;
  /** What its log still holds, if it has one. */
  close(): Promise<LeftBehind | undefined>;
}

export async function buildStack(description: StackDescription, surroundings: Surroundings): Promise<Stack> {
  const origin = await openOrigin(description.origin, surroundings);
  let ground: Ground | undefined;
  try {
    // A directory has been waited for: its stores have one owner at a time.
    refuseIfEnded(surroundings.ending);
    ground = await openGround(description, origin, surroundings);
    return pileUp(description, origin, ground, surroundings);
  } catch (error) {
    ground?.lease?.close();
    await closeAfterError([() => ground?.log.close(), () => origin.filesystem.close()], surroundings.log);
    throw error;
  }
}

interface Ground extends WriteBackGround {
  /** Once it is built. */
  layer?: WriteBack | undefined;
}

/** The dirty log and the lease, before anything can change. No new log is made for a session that is refused the lease. */
async function openGround(
  description: StackDescription,
  { filesystem, nfs }: Origin,
  tools: Surroundings,
): Promise<Ground | undefined> {
  const { dirty: rule, writes, isLogReopened: isReopened } = description;
  if (rule === undefined) return undefined;
  const { identity } = filesystem;
  const fresh = newInstance(tools.random);
  const writer = writes === 'write-back' ? nfs : undefined;
  let lease: SessionLease | undefined;
  if (writer !== undefined && isReopened !== true && !holdsLog(rule.directory))
    lease = await acquireLease(writer, fresh, description, tools);
  let ground: Ground | undefined;
  let log: DirtyLog | undefined;
  try {
    refuseIfEnded(tools.ending);
    const onPressure = () => ground?.layer?.relieve();
    log = await openSessionLog({ rule, writes, identity, isReopened, ...tools, onPressure });
    if (log === undefined) return undefined;
    if (writer !== undefined) {
      const instance = noteInstance(log, fresh);
      lease ??= await acquireLease(writer, instance, description, tools);
    }
    ground = { rule, log, nfs, lease };
    return ground;
  } catch (error) {
    await closeAfterError([() => lease?.release(), () => log?.close()], tools.log);
    throw error;
  }
}

function pileUp(
  description: StackDescription,
  origin: Origin,
  ground: Ground | undefined,
  surroundings: Surroundings,
): Stack {
  const { filesystem, nfs } = origin;
  const { stateDirectory } = description.origin;
  const counters: Record<string, () => object> = {};
  const presence = watchOrigin(nfs, surroundings);
  if (nfs !== undefined) counters.presence = presence.stats.bind(presence);
  const caches: (BlockCache | Content | Keepsakes | AccessCache | AttributeCache)[] = [];
  let hints: HintsUse | undefined;
  let leases: SessionLeases | undefined;
  let writeBack: SessionWriteBack | undefined;
  let workingSets: WorkingSets | undefined;
  let warming: SessionWarming | undefined;
  const { files } = description;
  const rules = files && new FileRules(filesystem.root, files.session, files.set);
  let top = filesystem;
  /** Answers from the origin itself. */
  let fresh = filesystem;
  let restarts = () => 0;
  if ('stats' in top && typeof top.stats === 'function') counters.origin = top.stats.bind(top);
  for (const layer of description.layers.toReversed()) {
    let built: Filesystem;
    if (layer.layer === 'leases') {
      leases = new SessionLeases(top, origin, layer.takeover, { ...surroundings, stateDirectory });
      built = leases.layer;
    } else if (layer.layer === 'write-back') {
      if (ground === undefined) throw new Error('the stack has a write-back layer and the session no log');
      const names = caches.find((cache) => cache instanceof Keepsakes)?.places();
      const awaySinceMs = () => presence.stats().sinceMs;
      const { address } = description;
      const wish = { next: top, fresh, restarts, names, awaySinceMs, address, ...layer };
      const made = buildWriteBack(wish, ground, surroundings);
      ground.layer = made.layer;
      writeBack = made.session;
      built = made.layer;
    } else if (layer.layer === 'keepsakes') {
      built = buildKeepsakes(top, layer.file, caches, surroundings);
    } else if (layer.layer === 'content') {
      const names = caches.find((cache) => cache instanceof Keepsakes)?.places();
      const isPackNear = nfs && (() => nfs.chain.mayKeep());
      const onWantedWhole = (file: FileHandle): void => workingSets?.wantWhole(file);
      const wish = {
        next: top,
        cache: cacheOf(surroundings, filesystem),
        walker: nfs?.data,
        names,
        isPackNear,
        onWantedWhole,
      };
      const made = buildContent({ ...wish, ...layer }, surroundings);
      hints = made.hints;
      built = made.layer;
    } else if (layer.layer === 'working-sets') {
      const names = caches.find((cache) => cache instanceof Keepsakes)?.places();
      const awaySinceMs = () => presence.stats().sinceMs;
      const wish = {
        next: top,
        description: layer,
        cache: cacheOf(surroundings, filesystem),
        publisher: nfs?.data,
        names,
        awaySinceMs,
        settings: rules,
      };
      const made = buildWorkingSets(wish, surroundings);
      workingSets = made.layer;
      warming = made.warming;
      built = made.layer;
    } else built = buildLayer(layer, top, { ...surroundings, presence, nfs, rules });
    top = built;
    if (built instanceof Stability) {
      fresh = built;
      restarts = () => built.stats().originRestarts;
      // Before the first reply of a server that came back is passed on: it may have lost what was unstable.
      nfs?.listen({ onReconnect: () => built.originMayHaveRestarted() });
    }
    if (built instanceof BlockCache || built instanceof AccessCache || built instanceof AttributeCache)
      caches.push(built);
    if (built instanceof Keepsakes || built instanceof Content) caches.push(built);
    if ('stats' in built && typeof built.stats === 'function') counters[layer.layer] = built.stats.bind(built);
    else if (built instanceof Stats) counters[layer.layer] = () => built.snapshot();
  }
  const isReadOnly = description.writes === 'read-only';
  const chain = new SessionChain({
    ...{ policy: description.writes, writeBack, nfs, credential: ownCredential(), hostName: hostname() },
    clock: surroundings.clock,
  });
  const publisher = publisherFor(top, origin, description.workingSets, surroundings);
  return {
    top,
    programs: [
      sessionChannel(
        top,
        origin,
        { leases, isReadOnly, keepsChanges: writeBack !== undefined, chain, publisher },
        { ...surroundings, stateDirectory },
      ),
    ],
    stats: () => Object.fromEntries(Object.entries(counters).map(([name, count]) => [name, count()])),
    writeBack,
    chain,
    warming,
    findFile: (path) => new Paths(top, ownCredential(), surroundings.clock).findFile(path),
    // From the bottom up: what a layer above asks for is new by then.
    invalidate: async () => {
      for (const cache of caches) await cache.invalidate();
    },
    forgetAttributes: () => {
      for (const cache of caches)
        if (cache instanceof AttributeCache || cache instanceof AccessCache) cache.invalidate();
    },
    setFiles: (set) => rules?.replace(set),
    close: () => closeStack(top, { writeBack, lease: ground?.lease, isAway: presence.isAway, hints, workingSets }),
  };
}

interface Ending {
  readonly writeBack: SessionWriteBack | undefined;
  readonly lease: SessionLease | undefined;
  /** The origin. */
  readonly isAway: boolean;
  readonly hints: HintsUse | undefined;
  readonly workingSets: WorkingSets | undefined;
}

/** Clients are gone by now. */
async function closeStack(
  top: Filesystem,
  { writeBack, lease, isAway, hints, workingSets }: Ending,
): Promise<LeftBehind | undefined> {
  let left: LeftBehind | undefined;
  // Whatever fails of it, the log is closed: its lock would keep out the session's next life.
  await closeEach([
    () => workingSets?.end(isAway),
    // What is left needs the lease in the session's next life: that it was taken over meanwhile must be told.
    () => (!isAway && writeBack !== undefined && writeBack.left().files > 0 ? lease?.check() : undefined),
    () => {
      left = writeBack?.left();
      return left?.files === 0 ? lease?.release(isAway) : undefined;
    },
    () => lease?.close(),
    () => top.close(),
    () => hints?.close(),
  ]);
  return left;
}

/** Without `nfs` it cannot go away. */
type Origin = ServedOrigin;

function watchOrigin(nfs: NfsOrigin | undefined, { clock, log }: Surroundings): OriginPresence {
  const receivedBytes = nfs === undefined ? undefined : () => nfs.stats().bytesIn;
  const presence = new OriginPresence({ clock, log, receivedBytes });
  nfs?.listen({ onReply: () => presence.replied(), onLost: (reason) => presence.lost(reason) });
  return presence;
}

/** Callers use their own credentials; the origin is mounted and checked with ours. */
async function openOrigin(
  origin: StackDescription['origin'],
  { clock, log, random, ending }: Surroundings,
): Promise<Origin> {
  const address = parseOrigin(origin.text);
  const tools = { clock, log, random };
  const { stateDirectory, reach, relaysLeases } = origin;
  if (address.kind === 'directory') {
    const directory = await openDirectoryOrigin({ path: address.path, stateDirectory, ...tools });
    return { filesystem: directory, locator: directory.locator };
  }
  const connections = address.connections ?? origin.connections;
  const credential = ownCredential();
  const wish = { reach, relaysLeases, stateDirectory };
  const opening = openNfsOrigin({ address, connections, credential, ...wish, ...tools });
  const opened = await unlessEnded(opening, ending, (late) => late.close());
  return { filesystem: opened, nfs: opened };
}

function cacheOf({ cache, owner }: Surroundings, { identity }: Filesystem): CacheStore {
  if (cache === undefined) throw new Error('the stack has a block cache and the session no cache');
  return owner?.store(identity) ?? cache;
}

function buildLayer(
  description: Exclude<LayerDescription, { layer: 'leases' | 'write-back' | 'keepsakes' | 'content' | 'working-sets' }>,
  next: Filesystem,
  tools: Surroundings & {
    readonly presence: OriginPresence;
    readonly nfs: NfsOrigin | undefined;
    readonly rules: FileRules | undefined;
  },
): Filesystem {
  const { clock, log, random, presence, nfs, rules } = tools;
  switch (description.layer) {
    case 'hidden':
      return new Hidden(next);
    case 'identity':
      return new Identity(next, { options: { squash: description.squash } });
    case 'read-only':
      return new ReadOnly(next);
    case 'file-guard':
      if (rules === undefined) throw new Error('the stack has a guard of files and the session no settings of files');
      return new FileGuard(next, rules, { clock, log });
    case 'stats':
      return new Stats(next, { clock });
    case 'outage':
      return new Outage(next, { clock, presence, options: description });
    case 'block-cache': {
      const cache = next instanceof Content ? next.blocks : cacheOf(tools, next);
      const { readAheadBytes, soleWriter, fetchRateBytesPerSecond: wantedBytesPerSecond } = description;
      const asked = readAheadBytes === 0 ? noReadAhead : { ...defaultReadAhead, mostBytes: readAheadBytes };
      // What rules say of a file may be more than what the session has for all others.
      const readAhead = rules ? ruledReadAhead(rules, wantedBytesPerSecond) : { ...asked, wantedBytesPerSecond };
      const link = description.linkFile === undefined ? undefined : new LinkFile(description.linkFile, { clock, log });
      return new BlockCache(next, { cache, clock, log, readAhead, soleWriter, link, settings: rules });
    }
    case 'access-cache':
      return new AccessCache(next, { clock, presence, settings: rules });
    case 'attribute-cache': {
      const attributes = (object: FileHandle): Attributes | undefined => cached.known.attributes(object);
      const facts = new FilesystemFacts(next, { presence, remembered: nfs?.facts, attributes });
      const told = { options: description.times, settings: rules, witness: rules };
      const cached: AttributeCache = new AttributeCache(facts, { clock, presence, ...told });
      rules?.learnFrom(cached.known);
      return cached;
    }
    case 'stability':
      return new Stability(next, { clock, log, random });
  }
}

/** By file; together as much as the largest of them may have. */
function ruledReadAhead(rules: FileRules, wantedBytesPerSecond: number | undefined): ReadAheadOptions {
  return {
    ...{ ...defaultReadAhead, wantedBytesPerSecond },
    get mostBytes() {
      return rules.readAheadBytes || defaultReadAhead.mostBytes;
    },
  };
}
