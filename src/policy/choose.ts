/**
 * Which policy holds for a session, and what its worker is told of files.
 *
 *     of the session:  the policy it names  >  the first rule without `size` that matches the origin's path  >  `default-policy`
 *     of a file:       the first rule that matches its path and size; of that policy, what it states of files. Else as the session
 *
 * What a rule's policy states of whole sessions is not applied to files, but for `writes: read-only`. A rule that names the session's own
 * policy changes nothing of it: then the session's own settings hold.
 */
import { ViaductError } from '../base/mod.ts';
import type { BelievedFor, FileRule, FileRuleSet, FileSettings } from '../vfs/mod.ts';
import { type Policies, type ResolvedPolicy, resolvePolicy } from './resolve.ts';
import { missOf, type OriginPlace, type Rule, type RuleDocument, readRule } from './rules.ts';
import { type FileDefaults, keepsLog, type SettingValues, sessionKeys } from './settings.ts';
import type { AttributeTimes } from './values.ts';

/** The parts of viaduct.yaml that matter here, as they are written. */
export interface PolicyConfiguration {
  readonly policies: Policies;
  readonly rules: readonly RuleDocument[];
  readonly defaultPolicy: string;
}

/** The parts of a request for a session that matter here. */
export interface PolicyRequest {
  readonly kind?: 'serve' | 'proxy' | undefined;
  readonly policy?: string | undefined;
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
}

export interface ChosenPolicy extends ResolvedPolicy {
  /** The rule that chose it, if one did. */
  readonly rule: string | undefined;
}

/** Throws CONFIGURATION_INVALID for what is unknown, unreadable, or contradicts. */
export function choosePolicy(
  request: PolicyRequest,
  place: OriginPlace,
  configuration: PolicyConfiguration,
): ChosenPolicy {
  const rule = request.policy === undefined ? sessionRule(readRules(configuration), place) : undefined;
  const name = request.policy ?? rule?.policy ?? configuration.defaultPolicy;
  const resolved = resolvePolicy(name, configuration.policies, request.settings);
  if (request.kind === 'serve') checkServe(resolved, rule);
  return { ...resolved, rule: rule?.name };
}

export function readRules({ rules }: PolicyConfiguration): Rule[] {
  return rules.map(readRule);
}

export function sessionRule(rules: readonly Rule[], place: OriginPlace): Rule | undefined {
  return rules.find((rule) => !rule.hasSize && missOf(rule, place) === undefined);
}

/** `place`: of the session's root. Plain data, for the session's worker. */
export function compileFileRules(
  policy: ResolvedPolicy,
  place: OriginPlace,
  configuration: PolicyConfiguration,
): FileRuleSet {
  const rules = readRules(configuration)
    .filter((rule) => rule.origin === undefined || rule.origin === place.origin)
    .flatMap((rule): FileRule[] => {
      const { name, minBytes, maxBytes } = rule;
      const settings = settingsOfRule(rule, policy, configuration);
      const range = {
        ...(minBytes === undefined ? {} : { minBytes }),
        ...(maxBytes === undefined ? {} : { maxBytes }),
      };
      return rule.paths.map((path) => ({ name, path, ...range, settings }));
    });
  return { root: place.path, defaults: fileSettings(policy.settings.file), rules };
}

/** The policy of a rule, for files of a session with another one; undefined: the rule names that very policy. */
export function policyOfRule(
  rule: Rule,
  policy: ResolvedPolicy,
  { policies }: PolicyConfiguration,
): ResolvedPolicy | undefined {
  return rule.policy === policy.name ? undefined : resolvePolicy(rule.policy, policies);
}

function settingsOfRule(rule: Rule, policy: ResolvedPolicy, configuration: PolicyConfiguration): Partial<FileSettings> {
  const own = policyOfRule(rule, policy, configuration);
  return own === undefined ? {} : statedSettings(own.stated, fileSettings(own.settings.file));
}

function statedSettings(stated: SettingValues, all: FileSettings): Partial<FileSettings> {
  const { attributes, directoryAttributes } = all;
  return {
    ...(stated['read-ahead'] === undefined ? {} : { readAheadBytes: all.readAheadBytes }),
    ...(stated.fetch === undefined ? {} : { fetch: all.fetch }),
    ...(stated.consistency === undefined ? {} : { consistency: all.consistency }),
    ...(stated['attribute-timeout'] === undefined ? {} : { attributes, directoryAttributes }),
    ...(stated.pin === undefined ? {} : { isPinned: all.isPinned }),
    ...(stated['cache-priority'] === undefined ? {} : { priority: all.priority }),
    ...(all.isReadOnly ? { isReadOnly: true } : {}),
  };
}

function fileSettings({ attributes, ...rest }: FileDefaults): FileSettings {
  return { ...rest, ...believed(attributes) };
}

function believed(times: AttributeTimes): { attributes: BelievedFor; directoryAttributes: BelievedFor } {
  return {
    attributes: { minimumMs: times.fileMinimumMs, maximumMs: times.fileMaximumMs },
    directoryAttributes: { minimumMs: times.directoryMinimumMs, maximumMs: times.directoryMaximumMs },
  };
}

/** A server of this host's files has no origin to write back to. */
function checkServe({ name, settings, rows }: ResolvedPolicy, rule: Rule | undefined): void {
  const { writes } = settings.session;
  const remedy =
    'For `kind: serve`, choose a policy with `writes: write-through` or `read-only`, such as home or golden.';
  if (keepsLog(writes)) {
    const from = rows.find((row) => row.key === 'writes')!.from;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `kind: serve (this session) contradicts writes: ${writes} (${from}${rule === undefined ? '' : `, by ${rule.name}`}): what is served is on this host, so nothing is kept back from it.`,
      remedy,
    });
  }
  const own = rows.find((row) => row.from === 'this session' && row.key !== 'writes' && isOfSession(row.key));
  if (own === undefined) return;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `kind: serve (this session) contradicts ${own.key}: ${own.value} (this session): policy ${name} serves files of this host, past no link.`,
    remedy: `Leave \`${own.key}\` out.`,
  });
}

function isOfSession(key: string): boolean {
  return (sessionKeys as readonly string[]).includes(key);
}
