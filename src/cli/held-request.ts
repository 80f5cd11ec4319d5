/**
 * What `serve`, `proxy` and `mount` ask of a running daemon, or why they do it alone.
 *
 * A session that keeps changes on this host (--policy write-back, redirect) runs alone: the next start with the same options must find its
 * log, and a daemon's session has another. So do options that a daemon has for all its sessions.
 */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import type { SessionPlan } from '../sessions/mod.ts';

export const heldRequestSchema = z.strictObject({
  kind: z.enum(['serve', 'proxy']),
  origin: z.string().min(1),
  listen: z.string().min(1),
  policy: z.string().optional(),
  /** What the command line says. */
  settings: z.record(z.string(), z.unknown()),
  /** What a command alone would do, where nobody says otherwise. */
  defaults: z.record(z.string(), z.unknown()),
  /** Null: none. */
  cacheDirectory: z.string().nullable(),
  cacheSizeBytes: z.number().optional(),
  allow: z.array(z.string()),
  squash: z.enum(['none', 'root', 'all']),
  connections: z.number().optional(),
});
export type HeldRequest = z.infer<typeof heldRequestSchema>;

export type HoldChoice = { readonly request: HeldRequest } | { readonly alone: string };

export const holdHelp = `
While a daemon of this user runs (\`viaduct daemon\`) it has the session made there, for as long as the command runs; its rules then say what
options leave open. It runs alone with --alone, and with options that a daemon cannot follow: --state-directory, --policy write-back or redirect
and what is about their logs, --no-content, a --cache that is none of the daemon's, --lease-takeover, --working-sets; also where the daemon's
rules would have changes stay in a log. A session that outlives its command is made by \`viaduct session create\`.`;

/** Options that mean the command's own process. */
const ownOptions: Readonly<Record<string, string>> = {
  alone: '--alone',
  stateDirectory: '--state-directory',
  dirtyLog: '--dirty-log',
  abandonDirtyLog: '--abandon-dirty-log',
  leaseTakeover: '--lease-takeover',
  workingSets: '--working-sets',
  content: '--no-content',
};

/** By option: the setting of the same name. */
const settingOptions: Readonly<Record<string, string>> = {
  commit: 'commit',
  outage: 'outage',
  attributeTimeout: 'attribute-timeout',
  readAhead: 'read-ahead',
  fetch: 'fetch',
  fetchRate: 'fetch-rate',
  purpose: 'purpose',
  soleWriter: 'sole-writer',
};

export function holdChoice(command: Command, plan: SessionPlan, listen: string): HoldChoice {
  const isGiven = (name: string): boolean => command.getOptionValueSource(name) === 'cli';
  const own = Object.keys(ownOptions).find(isGiven);
  if (own !== undefined) return { alone: ownOptions[own]! };
  if (plan.writes === 'write-back' || plan.writes === 'redirect') return { alone: `--policy ${plan.writes}` };
  const flags = command.opts<Record<string, unknown>>();
  const said = Object.entries(settingOptions).filter(([option]) => isGiven(option));
  const { kind, origin, allow, squash, cache } = plan;
  const isReadOnly = plan.writes === 'read-only';
  const saysWrites = isGiven('policy') || isGiven('readOnly');
  return {
    request: {
      ...{ kind, origin: originFromAnywhere(origin), listen, allow, squash },
      // What is served is on this host: no rule about caching is meant for it.
      ...(kind === 'serve' ? { policy: 'home' } : {}),
      settings: {
        ...((kind === 'proxy' && saysWrites) || isReadOnly ? { writes: plan.writes } : {}),
        ...Object.fromEntries(said.map(([option, key]) => [key, flags[option]])),
      },
      defaults: kind === 'serve' ? {} : { fetch: 'auto', 'attribute-timeout': commandTimes(plan) },
      cacheDirectory: cache?.directory ?? null,
      ...(cache !== undefined && isGiven('cacheSize') ? { cacheSizeBytes: cache.sizeBytes } : {}),
      ...(isGiven('connections') ? { connections: plan.connections } : {}),
    },
  };
}

function commandTimes({ attributes }: SessionPlan) {
  const { fileMinimumMs, fileMaximumMs, directoryMinimumMs, directoryMaximumMs } = attributes;
  const text = (ms: number): string => `${ms}ms`;
  return {
    file: [text(fileMinimumMs), text(fileMaximumMs)],
    directory: [text(directoryMinimumMs), text(directoryMaximumMs)],
  };
}

/** The daemon has another working directory. */
function originFromAnywhere(origin: string): string {
  return origin.startsWith('nfs:') ? origin : resolve(origin);
}
