/**
 * `viaduct policy explain PATH` without the looking up: which rule won and why the others did not, which settings hold, whence each came and
 * what follows from it.
 */
import { formatSize } from '../base/mod.ts';
import { choosePolicy, type PolicyConfiguration, type PolicyRequest, policyOfRule, readRules } from './choose.ts';
import { consequence } from './consequences.ts';
import { byDefault } from './contradictions.ts';
import { meansSomething, withDefaults } from './defaults.ts';
import type { PolicyRow, ResolvedPolicy } from './resolve.ts';
import { missOf, type OriginPlace, type Rule, type Subject, tellMiss } from './rules.ts';
import { fileKeys, type SettingKey, type SettingValues, settingKeys, type ValueOf } from './settings.ts';
import { writeSetting } from './write.ts';

export interface Question {
  /** The root of the session. */
  readonly root: OriginPlace;
  /** What is asked about: its path at the origin, below the root or the root itself. */
  readonly path: string;
  /** undefined: a directory, or nobody knows. */
  readonly sizeBytes?: number | undefined;
  readonly request: PolicyRequest;
}

export interface RuleVerdict {
  readonly rule: string;
  readonly policy: string;
  readonly verdict: 'won' | 'does not match' | 'came later';
  /** One sentence. */
  readonly reason: string;
}

export interface ExplainedRow extends PolicyRow {
  /** One sentence. */
  readonly follows: string;
}

/** What a rule's policy states, but holds for whole sessions only. */
export interface NotApplied {
  readonly key: SettingKey;
  readonly value: string;
  readonly from: string;
  /** What holds instead. */
  readonly instead: string;
}

export interface Explanation {
  readonly path: string;
  readonly origin?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly session: {
    readonly policy: string;
    readonly description?: string | undefined;
    /** One sentence. */
    readonly reason: string;
    readonly rules: readonly RuleVerdict[];
  };
  readonly file: {
    /** The policy whose settings of files hold. */
    readonly policy: string;
    /** One sentence. */
    readonly reason: string;
    readonly rules: readonly RuleVerdict[];
  };
  readonly settings: readonly ExplainedRow[];
  readonly notApplied: readonly NotApplied[];
}

/** Throws CONFIGURATION_INVALID, as opening the session would. */
export function explainPath(question: Question, configuration: PolicyConfiguration): Explanation {
  const { root, path, sizeBytes, request } = question;
  const rules = readRules(configuration);
  const session = choosePolicy(request, root, configuration);
  const subject: Subject = { origin: root.origin, path, sizeBytes };
  const winner = rules.find((rule) => missOf(rule, subject) === undefined);
  const ofRule = winner === undefined ? undefined : policyOfRule(winner, session, configuration);
  return {
    path,
    ...(root.origin === undefined ? {} : { origin: root.origin }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    session: {
      policy: session.name,
      ...(session.description === undefined ? {} : { description: session.description }),
      reason: tellChoice(request, session.rule, root, configuration),
      rules: request.policy === undefined ? rules.map((rule) => ofSession(rule, root, session.rule, rules)) : [],
    },
    file: {
      policy: ofRule?.name ?? session.name,
      reason: tellFile(winner, ofRule, session),
      rules: rules.map((rule) => ofFile(rule, subject, winner, rules)),
    },
    settings: explainedRows(session, ofRule, winner),
    notApplied: ofRule === undefined || winner === undefined ? [] : notApplied(session, ofRule, winner),
  };
}

function tellChoice(
  { policy }: PolicyRequest,
  rule: string | undefined,
  root: OriginPlace,
  { defaultPolicy }: PolicyConfiguration,
): string {
  if (policy !== undefined) return `The session names its policy, ${policy}.`;
  if (rule !== undefined) return `${root.path}, the root of the session, is matched by ${rule}.`;
  return `No rule without a size matches ${root.path}, the root of the session; the default policy is ${defaultPolicy}.`;
}

function tellFile(winner: Rule | undefined, ofRule: ResolvedPolicy | undefined, session: ResolvedPolicy): string {
  if (winner === undefined)
    return `No rule matches, so what the session’s policy, ${session.name}, says of files holds.`;
  if (ofRule === undefined) return `${winner.name} matches, and names the session’s own policy, ${session.name}.`;
  return `${winner.name} matches; what ${ofRule.name} states of files holds, the rest is the session’s.`;
}

function ofSession(rule: Rule, root: OriginPlace, winner: string | undefined, rules: readonly Rule[]): RuleVerdict {
  const first = rules.findIndex((each) => !each.hasSize && missOf(each, root) === undefined);
  if (rule.hasSize) return told(rule, 'does not match', 'It has a size, so it holds for files, not for sessions.');
  return ofFile(rule, root, winner === undefined ? undefined : rules[first], rules);
}

function ofFile(rule: Rule, subject: Subject, winner: Rule | undefined, rules: readonly Rule[]): RuleVerdict {
  const miss = missOf(rule, subject);
  if (miss !== undefined) return told(rule, 'does not match', tellMiss(rule, subject, miss));
  if (rule === winner) return told(rule, 'won', `It is the first rule that matches ${subject.path}.`);
  return told(rule, 'came later', `It would match, but ${winner?.name ?? rules[0]!.name} comes first.`);
}

function told(rule: Rule, verdict: RuleVerdict['verdict'], reason: string): RuleVerdict {
  return { rule: rule.name, policy: rule.policy, verdict, reason };
}

/** The session's rows, with what a rule's policy states of files in their place. */
function explainedRows(
  session: ResolvedPolicy,
  ofRule: ResolvedPolicy | undefined,
  rule: Rule | undefined,
): ExplainedRow[] {
  const { writes, ...ofFiles } = ofRule === undefined ? {} : appliedTo(session, ofRule);
  const values = withDefaults({ ...session.stated, ...ofFiles });
  const told = writes === undefined ? values : { ...values, writes };
  return settingKeys
    .filter((key) => meansSomething(key, values))
    .map((key): ExplainedRow => {
      const isRuled = (key === 'writes' ? writes : ofFiles[key]) !== undefined;
      const row = (isRuled ? ofRule! : session).rows.find((each) => each.key === key);
      const from = row?.from ?? byDefault;
      return {
        ...(row ?? { key, value: writeSetting(key, values[key] as ValueOf[typeof key]) }),
        from: isRuled ? `${from}, by ${rule!.name}` : from,
        follows: consequence(key, told[key] as ValueOf[typeof key], told),
      };
    });
}

/** What of the rule's policy holds for its files. */
function appliedTo(session: ResolvedPolicy, { stated, settings }: ResolvedPolicy): SettingValues {
  const ofFiles = Object.fromEntries(
    fileKeys.filter((key) => stated[key] !== undefined).map((key) => [key, stated[key]]),
  );
  const isRestricted = settings.file.isReadOnly && !session.settings.file.isReadOnly;
  return isRestricted ? { ...ofFiles, writes: 'read-only' } : ofFiles;
}

function notApplied(session: ResolvedPolicy, ofRule: ResolvedPolicy, rule: Rule): NotApplied[] {
  const applied = appliedTo(session, ofRule);
  const values = withDefaults(session.stated);
  return ofRule.rows
    .filter(({ key }) => ofRule.stated[key] !== undefined && applied[key] === undefined)
    .flatMap(({ key, value, from }) => {
      const own = values[key];
      const instead = own === undefined ? 'nothing' : writeSetting(key, own as ValueOf[typeof key]);
      return instead === value ? [] : [{ key, value, from: `${from}, by ${rule.name}`, instead }];
    });
}

/** For people: the same as lines of text. */
export function explanationLines(explanation: Explanation): string[] {
  const { path, origin, sizeBytes, session, file, settings, notApplied: rest } = explanation;
  const size = sizeBytes === undefined ? 'size unknown, or no file' : formatSize(sizeBytes);
  const description = session.description === undefined ? '' : ` (${session.description})`;
  return [
    `${origin === undefined ? '' : `${origin}:`}${path} (${size})`,
    '',
    `Session: policy ${session.policy}${description}`,
    `  ${session.reason}`,
    ...session.rules.map(verdictLine),
    '',
    `File: policy ${file.policy}`,
    `  ${file.reason}`,
    ...file.rules.map(verdictLine),
    '',
    'Settings',
    ...rowLines(settings),
    ...(rest.length === 0 ? [] : ['', 'Not applied: of the whole session']),
    ...rest.map(({ key, value, from, instead }) => `  ${key}: ${value}  (${from}); for this session it is ${instead}`),
  ];
}

function verdictLine({ rule, policy, verdict, reason }: RuleVerdict): string {
  const mark = verdict === 'won' ? '*' : '-';
  return `  ${mark} ${rule} (${policy}): ${reason}`;
}

/** Two lines a row: the setting with whence it came, then why and what follows. */
export function rowLines(rows: readonly ExplainedRow[]): string[] {
  return rows.flatMap(({ key, value, from, why, follows }) => [
    `  ${key}: ${value}  (${from})`,
    `      ${why === undefined ? '' : `${why} `}${follows}`,
  ]);
}
