/**
 * From what somebody asks for to the plan of a session: the policy that holds, where its files are kept, which cache it uses.
 *
 *     SessionRequest ──decide (policies and rules)──► Decision ──+ address, id──► SessionPlan
 *
 *     STATE/HASH           of the origin: handles, replies, working sets; the same whoever uses that origin, so that handles stay valid
 *     STATE/sessions/ID    of the session alone: its dirty log
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ViaductError } from '../../base/mod.ts';
import { formatOrigin, parseOrigin } from '../../origins/mod.ts';
import type { PolicySettings } from '../../policy/mod.ts';
import { defaultConnections, type ListenRule, type SessionPlan } from '../../sessions/mod.ts';
import type { FileRuleSet } from '../../vfs/mod.ts';
import type { SessionRequest } from '../contract.ts';
import type { Resolved } from './session-store.ts';

/** What policies and rules say of a request. */
export interface Decision {
  /** A directory or an `nfs://` URL: names of origins are resolved. */
  readonly origin: string;
  /** As the origin is configured. */
  readonly connections?: number | undefined;
  readonly settings: PolicySettings;
  readonly files: FileRuleSet;
  readonly resolved: Resolved;
}

/** What the manager needs of a configuration. */
export interface ManagerConfiguration {
  /** A network of loopback addresses, in CIDR form. */
  readonly listenPool: string;
  /** Hosts of the pool that somebody asks for by name. */
  readonly reservedAddresses: readonly string[];
  readonly workers?: number | undefined;
  /** By name, in the order of the file: the first is the default. */
  readonly caches: ReadonlyMap<string, NonNullable<SessionPlan['cache']>>;
  /** All have names. */
  readonly sessions: readonly (SessionRequest & { readonly name: string })[];
  /** Throws ViaductErrors for what does not exist or contradicts. */
  decide(request: SessionRequest): Decision;
}

export interface Planned {
  readonly plan: SessionPlan;
  readonly resolved: Resolved;
}

/** What it has for itself. */
export interface SessionPlace {
  readonly id: string;
  readonly listen: ListenRule;
  readonly stateDirectory: string;
}

export function planFor(request: SessionRequest, configuration: ManagerConfiguration, place: SessionPlace): Planned {
  const decision = configuration.decide(request);
  const { origin, files, resolved } = decision;
  const { session, file } = decision.settings;
  const kind = request.kind ?? 'proxy';
  const common = {
    ...{ kind, origin, stateDirectory: originDirectory(place.stateDirectory, origin), listen: place.listen },
    ...{ allow: [...(request.allow ?? [])], squash: request.squash ?? 'none', attributes: file.attributes },
    connections: request.connections ?? decision.connections ?? defaultConnections,
    readAheadBytes: file.readAheadBytes,
  } as const;
  const plan: SessionPlan =
    kind === 'serve'
      ? { ...common, writes: session.writes }
      : {
          ...common,
          ...proxyPart(decision, sessionDirectory(place.stateDirectory, place.id)),
          ...cachePart(request, configuration, session.cacheQuotaBytes),
          files,
          ...(session.onClose === undefined ? {} : { onClose: session.onClose }),
          takeOverLease: request.takeOver === true && session.writes === 'write-back',
        };
  if (kind === 'serve' && typeof request.cache === 'string') throw serveWithCache();
  return { plan, resolved };
}

function proxyPart({ settings }: Decision, directory: string): Partial<SessionPlan> & Pick<SessionPlan, 'writes'> {
  const { session, file } = settings;
  return {
    writes: session.writes,
    ...(session.commit === undefined ? {} : { commit: session.commit }),
    dirty: {
      directory: join(directory, 'dirty'),
      limitBytes: session.dirtyLimitBytes,
      writeBackAfterMs: session.writeBackAfterMs,
      ageMs: session.dirtyAgeMs,
      windowBytes: session.writeBackWindowBytes,
      ...(session.writeBackRateBytesPerSecond === undefined
        ? {}
        : { rateBytesPerSecond: session.writeBackRateBytesPerSecond }),
    },
    outage: session.outage,
    fetch: file.fetch,
    ...(session.fetchRateBytesPerSecond === undefined
      ? {}
      : { fetchRateBytesPerSecond: session.fetchRateBytesPerSecond }),
    purpose: session.purpose,
    soleWriter: session.isSoleWriter,
  };
}

function cachePart(
  request: SessionRequest,
  { caches }: ManagerConfiguration,
  quotaBytes: number | undefined,
): Pick<SessionPlan, 'cache'> {
  if (request.cache === null) return {};
  const limited = (cache: NonNullable<SessionPlan['cache']>) =>
    quotaBytes === undefined ? cache : { ...cache, quotaBytes };
  const [first] = caches.values();
  if (request.cache === undefined) return first === undefined ? {} : { cache: limited(first) };
  const cache = caches.get(request.cache);
  if (cache !== undefined) return { cache: limited(cache) };
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `there is no cache with the name "${request.cache}".`,
    remedy: caches.size === 0 ? 'Configure one below `caches`.' : `There are: ${[...caches.keys()].join(', ')}.`,
  });
}

function serveWithCache(): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: '`serve` has no cache: its files are on this host.',
    remedy: 'Leave `cache` out, or use `kind: proxy`.',
  });
}

/** Of one origin: handles and replies of different origins never meet. */
export function originDirectory(stateDirectory: string, origin: string): string {
  const name = formatOrigin(parseOrigin(origin));
  return join(stateDirectory, createHash('sha256').update(name).digest('hex').slice(0, 16));
}

export function sessionsDirectory(stateDirectory: string): string {
  return join(stateDirectory, 'sessions');
}

export function sessionDirectory(stateDirectory: string, id: string): string {
  return join(sessionsDirectory(stateDirectory), id);
}
