/** What a session's policy and its own settings come to, against the session's kind and cache. */
import { ViaductError, writeSize } from '../base/mod.ts';
import {
  isModel,
  policyContradictions,
  type ResolvedPolicy,
  resolvePolicy,
  type SettingKey,
  sessionRule,
} from '../policy/mod.ts';
import { readRules } from './check-rules.ts';
import type { Collector } from './collector.ts';
import type { Configuration, ConfiguredSession } from './configuration.ts';
import { resolveOrigin } from './origins.ts';
import type { Path } from './problem.ts';

interface Judged {
  readonly session: ConfiguredSession;
  readonly configuration: Configuration;
  readonly collector: Collector;
  /** The policy that holds, by whatever way. */
  readonly policy: string;
}

export function checkSessions(configuration: Configuration, collector: Collector, folder: string): void {
  for (const session of configuration.sessions) {
    if (looksLikeId(session.name)) {
      collector.error(['sessions', session.name], {
        cause: `${JSON.stringify(session.name)} looks like the id of a session.`,
        remedy: 'Give it another name: ids tell one session from all others.',
      });
    }
    const policy = policyOf(session, configuration, folder);
    // What is not defined is told elsewhere.
    if (policy === undefined || !(isModel(policy) || Object.hasOwn(configuration.policies, policy))) continue;
    const judged = { session, configuration, collector, policy };
    const resolved = resolve(judged);
    if (resolved === undefined) continue;
    checkKind(judged, resolved);
    checkCache(judged, resolved);
  }
}

/** As the daemon makes them: `s-` and eight letters or digits. */
function looksLikeId(name: string): boolean {
  return /^s-[a-z2-7]{8}$/.test(name);
}

/** undefined: they contradict, or the policy does, which was told with it. */
function resolve({ session, configuration, collector, policy }: Judged): ResolvedPolicy | undefined {
  const { policies } = configuration;
  const { name, settings = {} } = session;
  const known = policyContradictions(policy, policies);
  const found = policyContradictions(policy, policies, settings);
  if (found.length === 0) return resolvePolicy(policy, policies, settings);
  const own = found.filter(({ keys }) => keys.some((key) => Object.hasOwn(settings, key)));
  for (const { keys, cause, remedy } of own.filter((one) => !known.some((other) => other.cause === one.cause))) {
    const [path, ...others] = keys
      .map((key) => whereIs(key, { session, configuration, policy }))
      .filter((place) => place !== undefined)
      .sort((left, right) => Number(right[0] === 'sessions') - Number(left[0] === 'sessions'));
    collector.error(path ?? ['sessions', name], { cause, remedy, other: others[0] });
  }
  return undefined;
}

/** Where a setting is written: with the session, or its policy; undefined: in neither. */
function whereIs(
  key: SettingKey,
  { session, configuration, policy }: Pick<Judged, 'session' | 'configuration' | 'policy'>,
): Path | undefined {
  if (Object.hasOwn(session.settings ?? {}, key)) return ['sessions', session.name, 'settings', key];
  const document = configuration.policies[policy];
  return document !== undefined && Object.hasOwn(document, key) ? ['policies', policy, key] : undefined;
}

function checkKind({ session, configuration, collector, policy }: Judged, { settings }: ResolvedPolicy): void {
  const { name, kind, takeOver } = session;
  const { writes } = settings.session;
  const at = whereIs('writes', { session, configuration, policy }) ?? ['sessions', name, 'policy'];
  if (kind === 'serve' && (writes === 'write-back' || writes === 'redirect')) {
    collector.error(at, {
      cause: `a session of kind serve keeps no changes back, and \`writes: ${writes}\` of the policy "${policy}" does.`,
      remedy: 'Choose a policy with `writes: write-through` or `read-only`, or `kind: proxy`.',
      other: ['sessions', name, 'kind'],
    });
  }
  if (kind === 'proxy' && takeOver && writes !== 'write-back') {
    collector.error(['sessions', name, 'take-over'], {
      cause: `only write-back needs the write lease, and the policy "${policy}" has \`writes: ${writes}\`.`,
      remedy: 'Leave it out, or use `writes: write-back`.',
    });
  }
}

function checkCache({ session, configuration, collector, policy }: Judged, { settings }: ResolvedPolicy): void {
  const { name, cache: cacheName } = session;
  const pin = whereIs('pin', { session, configuration, policy });
  const quota = whereIs('cache-quota', { session, configuration, policy });
  if (cacheName === null) {
    const why = configuration.caches.length === 0 ? 'there are no caches' : 'it has `cache: null`';
    const remedy = 'Give the session a cache, or leave it out.';
    const other: Path = ['sessions', name, 'cache'];
    if (pin !== undefined && settings.file.isPinned)
      collector.error(pin, { cause: `the session "${name}" has no cache to pin data in: ${why}.`, remedy, other });
    if (quota?.[0] === 'sessions' && settings.session.cacheQuotaBytes !== undefined)
      collector.error(quota, { cause: `the session has no cache to occupy: ${why}.`, remedy, other });
    return;
  }
  const cache = configuration.caches.find((one) => one.name === cacheName);
  const bytes = settings.session.cacheQuotaBytes;
  if (cache === undefined || quota === undefined || bytes === undefined || bytes <= cache.sizeBytes) return;
  collector.error(quota, {
    cause: `the session "${name}" may occupy ${writeSize(bytes)} of the cache "${cacheName}", which has ${writeSize(cache.sizeBytes)}.`,
    remedy: `Give at most ${writeSize(cache.sizeBytes)}, or a larger cache; without a quota it may use all of it.`,
    other: ['caches', cacheName, 'size'],
  });
}

/** Its own, else that of the first rule without a size for where it is, else the default. undefined: nobody knows where it is. */
function policyOf(session: ConfiguredSession, configuration: Configuration, folder: string): string | undefined {
  if (session.policy !== undefined) return session.policy;
  try {
    const { name, path } = resolveOrigin(session.origin, configuration.origins, folder);
    const rules = readRules(configuration.rules).map(({ rule }) => rule);
    return sessionRule(rules, { origin: name, path })?.policy ?? configuration.defaultPolicy;
  } catch (error) {
    if (error instanceof ViaductError) return undefined;
    throw error;
  }
}
