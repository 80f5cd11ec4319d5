/**
 * The plan of a session: plain data that says everything about it, so that it can be checked, shown, stored and posted to a
 * worker. Nothing in here opens a file or a socket.
 *
 *   command line ──► SessionPlan ──checkPlan──► SessionPlan ──describeStack (stack.ts)──► layers ──► worker
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { limits, ViaductError } from '../base/mod.ts';
import { isPurpose } from '../content/mod.ts';
import { writtenPurpose } from '../layers/mod.ts';
import { fetchModes } from '../vfs/mod.ts';
import { fileRuleSetSchema } from './file-rule-schema.ts';
import {
  checkWrites,
  closeModes,
  commitPlaces,
  dirtySchema,
  milliseconds,
  outageSchema,
  writePolicies,
} from './write-policy.ts';

/** Where the session listens. Without a port: NFS and MOUNT on 2049 and a portmapper on 111 (QEMU's nfs:// takes no port). */
export const listenSchema = z.strictObject({
  host: z.string().min(1),
  port: z.number().int().min(0).max(65535).optional(),
});
export type ListenRule = z.infer<typeof listenSchema>;

export const sessionPlanSchema = z.strictObject({
  kind: z.enum(['serve', 'proxy']),
  /** A directory or an `nfs://` URL, as src/origins understands it. */
  origin: z.string().min(1),
  /** Where a directory origin keeps what must survive restarts (tables of handles). */
  stateDirectory: z.string().min(1),
  listen: listenSchema,
  /** Networks (CIDR) whose clients may connect; loopback always may. */
  allow: z.array(z.string()),
  writes: z.enum(writePolicies),
  /** Default: `local` for write-back, `next` for write-through. */
  commit: z.enum(commitPlaces).optional(),
  dirty: dirtySchema.optional(),
  /** Default: what is not known here waits. */
  outage: outageSchema.optional(),
  /** For whoever closes the session for good. Default: `keep`. */
  onClose: z.enum(closeModes).optional(),
  /** Take the tree's write lease from whoever holds it. */
  takeOverLease: z.boolean().optional(),
  /** serve: after so long without a sign of its holder a lease goes to whoever asks; default: only to who takes it over. */
  leaseTakeover: z.union([z.literal('manual'), milliseconds.min(1_000)]).optional(),
  /** `root`: uid 0 becomes nobody; `all`: everybody becomes nobody; `none`: identities pass. */
  squash: z.enum(['none', 'root', 'all']),
  /** TCP connections to an NFS origin. */
  connections: z.number().int().min(1).max(64),
  /** The clean cache; without it nothing is kept on the disk. */
  cache: z
    .strictObject({
      directory: z.string().min(1),
      sizeBytes: z.number().int().min(limits.cacheBytes).max(limits.fileBytes),
      /** What the session may occupy of it, if others share it. */
      quotaBytes: z.number().int().min(limits.cacheBytes).max(limits.fileBytes).optional(),
    })
    .optional(),
  /** proxy: settings by file. What they leave open is as this plan says. */
  files: fileRuleSetSchema.optional(),
  /** Content meta-data and packs at the origin are used where they are; needs the cache. Default: yes. */
  content: z.boolean().optional(),
  /** What is fetched before it is asked for: nothing, the working set of a file that is used, then the rest of it too; `auto`: if its meta-data say so. */
  fetch: z.enum(fetchModes).optional(),
  /** Bytes a second that this may take; default: all that readers leave. */
  fetchRateBytesPerSecond: z.number().int().min(limits.blockBytes).optional(),
  /** What the session's runs are for: they teach working sets of this name. Default: `boot`. */
  purpose: z
    .string()
    .refine((text) => isPurpose(text) && text !== writtenPurpose)
    .optional(),
  /** serve: who may publish working sets for a file. Default: `readers`, whoever may read it. */
  workingSets: z.enum(['owner', 'readers', 'none']).optional(),
  /** Nobody else changes the origin's files while this proxy runs: then no server has to tell what was before our writes. */
  soleWriter: z.boolean().optional(),
  /** How long attributes and look-ups are believed: the shorter the more recently the file changed, as kernel clients do. */
  attributes: z.strictObject({
    fileMinimumMs: milliseconds,
    fileMaximumMs: milliseconds,
    directoryMinimumMs: milliseconds,
    directoryMaximumMs: milliseconds,
  }),
  /** Bytes that read-ahead may have in flight for a file, and for all of them; 0 switches it off. */
  readAheadBytes: z.number().int().min(0).max(limits.readAheadBytes),
});
export type SessionPlan = z.infer<typeof sessionPlanSchema>;

/** What Linux's acregmin, acregmax, acdirmin and acdirmax are. */
export const defaultAttributes: SessionPlan['attributes'] = {
  fileMinimumMs: 3_000,
  fileMaximumMs: 60_000,
  directoryMinimumMs: 30_000,
  directoryMaximumMs: 60_000,
};

/** 200 ms at 0.1 % loss keep one stream at 12 Mbit/s; eight of them share the losses. */
export const defaultConnections = 8;

/** Checks a plan as a whole. Throws ViaductError CONFIGURATION_INVALID, ADDRESS_INVALID or NOT_ALLOWED. */
export function checkPlan(input: unknown): SessionPlan {
  const parsed = sessionPlanSchema.safeParse(input);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `${issue.path.join('.') || 'the plan'}: ${issue.message}`,
      remedy: 'Correct the option; `viaduct COMMAND --help` shows what it takes.',
    });
  }
  const plan = parsed.data;
  for (const network of plan.allow) checkNetwork(network);
  if (!isLoopback(plan.listen.host) && plan.allow.length === 0) {
    throw new ViaductError('NOT_ALLOWED', {
      cause: `${plan.listen.host} can be reached by other hosts, and no network is allowed to connect.`,
      remedy:
        'Say which clients you trust (--allow 192.0.2.0/24; NFS believes the user ids that they claim), or listen on 127.0.0.1.',
    });
  }
  for (const [minimum, maximum] of [
    [plan.attributes.fileMinimumMs, plan.attributes.fileMaximumMs],
    [plan.attributes.directoryMinimumMs, plan.attributes.directoryMaximumMs],
  ] as const) {
    if (minimum > maximum) {
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `attributes: the shortest time-out, ${minimum} ms, is above the longest, ${maximum} ms.`,
        remedy: 'Give a minimum that is at most the maximum.',
      });
    }
  }
  checkWrites(plan);
  if (plan.kind === 'serve' && plan.files !== undefined) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: '`serve` has no settings by file: it keeps nothing of them.',
      remedy: 'Leave `files` out; rules are for `proxy` and `mount`.',
    });
  }
  return plan;
}

/** `ADDR`, `ADDR:PORT`, `[V6]`, `[V6]:PORT`, a bare IPv6 address; `localhost` is 127.0.0.1. */
export function parseListen(text: string): ListenRule {
  const invalid = (cause: string): ViaductError =>
    new ViaductError('ADDRESS_INVALID', {
      cause: `--listen ${text}: ${cause}`,
      remedy:
        'Write an address of this host (127.0.0.2: NFS on 2049 and a portmapper on 111) or ADDR:PORT (127.0.0.1:20049).',
    });
  const match =
    /^\[([^\]]+)\](?::(.*))?$/.exec(text) ?? (isIP(text) === 6 ? [text, text] : /^([^:]*)(?::(.*))?$/.exec(text));
  if (match === null) throw invalid('this is not an address.');
  const host = match[1] === 'localhost' ? '127.0.0.1' : match[1]!;
  if (isIP(host) === 0) throw invalid(host === '' ? 'the address is missing.' : `"${host}" is not an IP address.`);
  if (match[2] === undefined) return { host };
  const port = Number(match[2]);
  if (!/^\d+$/.test(match[2]) || port > 65535) throw invalid(`"${match[2]}" is not a port number.`);
  return { host, port };
}

export function isLoopback(host: string): boolean {
  return host === '::1' || /^127\./.test(host) || /^::ffff:127\./i.test(host);
}

function checkNetwork(network: string): void {
  const [address, prefix, ...rest] = network.split('/');
  const version = isIP(address ?? '');
  const bits = prefix === undefined ? 0 : Number(prefix);
  const valid =
    version !== 0 &&
    rest.length === 0 &&
    (prefix === undefined || /^\d+$/.test(prefix)) &&
    bits <= (version === 4 ? 32 : 128);
  if (valid) return;
  throw new ViaductError('ADDRESS_INVALID', {
    cause: `--allow ${network}: this is not a network.`,
    remedy: 'Write an address or a network in CIDR form: 192.0.2.7, 192.0.2.0/24, 2001:db8::/32.',
  });
}
