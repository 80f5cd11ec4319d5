/**
 * From a plan to the description of its stack: a pure function, so that the order of layers is written, tested and shown in one
 * place.
 *
 *   serve:  RPC server > hidden > identity > stats > read-only | leases > origin
 *   proxy:  RPC server > hidden > identity > stats > read-only | file guard [> leases] [> write-back] [> outage]
 *                      > working sets > block cache [> content] [> keepsakes] > access cache > attribute cache > stability > origin
 *
 * The order has reasons. What is hidden is hidden from clients alone, so that is on top. Identity is next, so that everything below, caches of grants included, sees the identities that count.
 * Write-back is above the caches: they hold clean data only, and what it writes back goes through them. The outage policy is
 * below it: changes go on while the origin is away. Working sets are right above the block cache, which fetches for them, so that they
 * learn what clients ask for and not what is fetched ahead. The block cache asks the layers below for ACCESS and attributes on each hit;
 * both answer from memory, and keepsakes carry what they know over a restart. Content is below the block cache, which keeps what it
 * composes, and above whatever knows names and grants, so that it finds meta-data in an outage too. Stability is next to the origin: it alone sees the
 * origin's write verifier. Leases are next to the origin of a server: whatever would change it passes them; those of a proxy that
 * keeps changes are over what keeps them.
 */
import { join } from 'node:path';
import { closeToOpen } from '../layers/mod.ts';
import { type FileRuleSet, type FileSettings, fetchModes } from '../vfs/mod.ts';
import { linkFilePath } from './link-file.ts';
import type { SessionPlan } from './plan.ts';
import {
  type CommitPlace,
  type DirtyRule,
  defaultOutage,
  keepsLog,
  type LoggedPolicy,
  type WritePolicy,
} from './write-policy.ts';

export type LayerDescription =
  | { readonly layer: 'hidden' }
  | { readonly layer: 'identity'; readonly squash: SessionPlan['squash'] }
  | { readonly layer: 'read-only' }
  | { readonly layer: 'file-guard' }
  | { readonly layer: 'stats' }
  | { readonly layer: 'write-back'; readonly policy: LoggedPolicy; readonly commit: CommitPlace }
  | { readonly layer: 'outage'; readonly misses: 'fail' | 'stale'; readonly failAfterMs: number }
  | {
      readonly layer: 'working-sets';
      readonly directory: string;
      readonly purpose: string;
      readonly mode: NonNullable<SessionPlan['fetch']>;
    }
  | {
      readonly layer: 'block-cache';
      readonly readAheadBytes: number;
      readonly soleWriter: boolean;
      readonly fetchRateBytesPerSecond?: number | undefined;
      /** Where it is kept what the link was found to do. */
      readonly linkFile?: string | undefined;
    }
  | { readonly layer: 'content'; readonly cacheDirectory: string }
  | { readonly layer: 'keepsakes'; readonly file: string }
  | { readonly layer: 'access-cache' }
  | { readonly layer: 'attribute-cache'; readonly times: SessionPlan['attributes'] }
  | { readonly layer: 'stability' }
  | { readonly layer: 'leases'; readonly takeover: 'manual' | number };

export interface StackDescription {
  readonly origin: {
    readonly text: string;
    readonly stateDirectory: string;
    readonly connections: number;
    /** Stable is what is at the origin itself, past every Viaduct on the way. */
    readonly reach?: 'origin' | undefined;
    /** Whoever asks for a lease is answered by the origin. */
    readonly relaysLeases?: boolean | undefined;
  };
  readonly writes: WritePolicy;
  /** The log of the write-back layer; without that layer, one that must hold no changes. */
  readonly dirty: DirtyRule | undefined;
  /** The session had it open a moment ago. */
  readonly isLogReopened?: boolean | undefined;
  readonly takeOverLease: boolean;
  /** Who may publish working sets through it, squashed as clients are; absent: nobody. */
  readonly workingSets?:
    | { readonly permission: NonNullable<SessionPlan['workingSets']>; readonly squash: SessionPlan['squash'] }
    | undefined;
  /** Where clients find the session; absent on a port that is another each time. */
  readonly address?: string | undefined;
  /** From top to bottom. */
  readonly layers: readonly LayerDescription[];
  /** Settings of the session's files, and rules for some of them. */
  readonly files?: { readonly session: FileSettings; readonly set: FileRuleSet | undefined } | undefined;
}

export function describeStack(plan: SessionPlan): StackDescription {
  const layers: LayerDescription[] = [
    { layer: 'hidden' },
    { layer: 'identity', squash: plan.squash },
    { layer: 'stats' },
  ];
  if (plan.writes === 'read-only') layers.push({ layer: 'read-only' });
  if (plan.kind === 'serve' && plan.writes !== 'read-only') {
    layers.push({ layer: 'leases', takeover: plan.leaseTakeover ?? 'manual' });
  }
  if (plan.kind === 'proxy') {
    // Rules may come later: it is there for them.
    if (plan.writes !== 'read-only') layers.push({ layer: 'file-guard' });
    const { writes, commit = 'local', outage = defaultOutage } = plan;
    // Who keeps changes holds the origin's lease, if there is one, and gives out its own.
    if (writes === 'write-back') layers.push({ layer: 'leases', takeover: 'manual' });
    if (keepsLog(writes)) layers.push({ layer: 'write-back', policy: writes, commit });
    // Without a policy of its own every layer below holds what it cannot answer.
    const { misses, failAfterMs } = outage;
    if (misses !== 'hold') layers.push({ layer: 'outage', misses, failAfterMs });
    if (plan.cache !== undefined) {
      const { readAheadBytes, soleWriter = false, fetchRateBytesPerSecond, purpose = 'boot', fetch } = plan;
      const directory = join(plan.stateDirectory, 'working-sets');
      layers.push({ layer: 'working-sets', directory, purpose, mode: fetch ?? fetchModes[0] });
      const linkFile = linkFilePath(plan.stateDirectory, plan.origin);
      layers.push({ layer: 'block-cache', readAheadBytes, soleWriter, fetchRateBytesPerSecond, linkFile });
      if (plan.content ?? true) layers.push({ layer: 'content', cacheDirectory: plan.cache.directory });
    }
    const file = keepsakeFile(plan);
    if (file !== undefined) layers.push({ layer: 'keepsakes', file });
    layers.push({ layer: 'access-cache' });
    layers.push({ layer: 'attribute-cache', times: plan.attributes });
    layers.push({ layer: 'stability' });
  }
  return {
    origin: {
      ...{ text: plan.origin, stateDirectory: plan.stateDirectory, connections: plan.connections },
      reach: plan.commit === 'origin' ? 'origin' : undefined,
      relaysLeases: plan.kind === 'proxy' && plan.writes === 'write-through',
    },
    writes: plan.writes,
    dirty: plan.dirty,
    takeOverLease: plan.takeOverLease ?? false,
    workingSets: { permission: plan.workingSets ?? 'readers', squash: plan.squash },
    address: plan.listen.port === 0 ? undefined : `${plan.listen.host}:${plan.listen.port ?? 2049}`,
    layers,
    files: plan.kind === 'proxy' ? { session: sessionSettings(plan), set: plan.files } : undefined,
  };
}

/** Of a file that no rule is about. */
function sessionSettings({ attributes, readAheadBytes, fetch = fetchModes[0] }: SessionPlan): FileSettings {
  return { ...closeToOpen(attributes), readAheadBytes, fetch };
}

/** As the kept replies: where the session has an address of its own; port 0 is another each time. */
function keepsakeFile({ listen: { host, port }, stateDirectory }: SessionPlan): string | undefined {
  if (port === 0) return undefined;
  return join(stateDirectory, `known-${host.replaceAll(/[^0-9a-zA-Z.]/g, '_')}-${port ?? 2049}`);
}
