/**
 * Which settings hold, and whence each came.
 *
 *     this session  >  policy build  >  model scratch  >  default
 *
 * The same input gives the same answer; what contradicts is an error, never a choice made here. But a model's attribute-timeout, which is there
 * for its consistency, goes with that when somebody wants another: nobody could leave it out.
 */
import type { z } from 'zod';
import { unlimited, ViaductError } from '../base/mod.ts';
import {
  byDefault,
  type Contradiction,
  findContradictions,
  refuseContradictions,
  type SettledSettings,
} from './contradictions.ts';
import { meansSomething, reasonOfDefault, type SettledValues, withDefaults } from './defaults.ts';
import { models } from './models.ts';
import {
  type ModelName,
  modelNames,
  type PolicyDocument,
  type PolicySettings,
  policyDocumentSchema,
  type SettingKey,
  type SettingValues,
  settingKeys,
  settingsSchema,
  type ValueOf,
} from './settings.ts';
import { writeSetting } from './write.ts';

/** The policies of viaduct.yaml by name, as they are written there. */
export type Policies = Readonly<Record<string, PolicyDocument>>;

/** Fits `SettingRow` of the daemon's contract. */
export interface PolicyRow {
  readonly key: SettingKey;
  readonly value: string;
  readonly from: string;
  /** Of a model's, and of a default that follows from another setting. */
  readonly why?: string | undefined;
}

export interface ResolvedPolicy {
  readonly name: string;
  /** One sentence what for, if anybody said. */
  readonly description: string | undefined;
  readonly settings: PolicySettings;
  /** In the order of `settingKeys`; without what means nothing beside the others. */
  readonly rows: readonly PolicyRow[];
  /** What was said, by the session, the policy or its model. */
  readonly stated: SettingValues;
}

interface Level {
  readonly from: string;
  readonly values: SettingValues;
  readonly reasons?: Readonly<Partial<Record<SettingKey, string>>>;
}

export const thisSession = 'this session';

/**
 * `policy`: a name, or what would stand below one; `overrides`: the session's own settings. Throws CONFIGURATION_INVALID for what cannot be
 * read, unknown names and contradictions.
 */
export function resolvePolicy(
  policy: string | PolicyDocument,
  policies: Policies,
  overrides: Readonly<Record<string, unknown>> = {},
): ResolvedPolicy {
  return settle(gather(policy, policies, overrides));
}

/** What `resolvePolicy` would throw for, of what can be read: for whoever tells all problems at once. */
export function policyContradictions(
  policy: string,
  policies: Policies,
  overrides: Readonly<Record<string, unknown>> = {},
): Contradiction[] {
  const gathered = gather(policy, policies, overrides);
  return findContradictions(settledOf(gathered, withDefaults(gathered.stated)));
}

function gather(
  policy: string | PolicyDocument,
  policies: Policies,
  overrides: Readonly<Record<string, unknown>>,
): Gathered {
  const name = typeof policy === 'string' ? policy : 'of its own';
  const document = typeof policy === 'string' ? findPolicy(policy, policies) : policy;
  const values = document === undefined ? undefined : read(policyDocumentSchema, document, `Policy ${name}`);
  const levels: Level[] = [
    { from: thisSession, values: read(settingsSchema, overrides, 'The settings of this session') },
  ];
  if (values !== undefined) levels.push({ from: `policy ${name}`, values });
  const model = values === undefined ? (name as ModelName) : values.model;
  if (model !== undefined) levels.push(levelOfModel(model));
  const stated: Partial<Record<SettingKey, unknown>> = {};
  const from: Partial<Record<SettingKey, Level>> = {};
  for (const key of settingKeys) {
    const level = levels.find((each) => each.values[key] !== undefined);
    if (level === undefined) continue;
    stated[key] = level.values[key];
    from[key] = level;
  }
  const belief = stated.consistency;
  const isOfModel = from['attribute-timeout'] === levels.at(-1) && model !== undefined;
  if (isOfModel && from.consistency !== from['attribute-timeout'] && (belief === 'fixed' || belief === 'strict')) {
    delete stated['attribute-timeout'];
    delete from['attribute-timeout'];
  }
  return {
    name,
    description: values?.description ?? (model === undefined ? undefined : models[model].purpose),
    stated: stated as SettingValues,
    from,
  };
}

/** The settings of a session, or of a policy, as they are written. Throws CONFIGURATION_INVALID. */
function read<Values>(schema: z.ZodType<Values>, document: unknown, subject: string): Values {
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const remedy: unknown = issue.code === 'custom' ? issue.params?.remedy : undefined;
  const key = issue.path.join('.');
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause:
      issue.code === 'unrecognized_keys'
        ? `${subject}: no setting is called ${issue.keys.map((each) => `"${each}"`).join(' or ')}.`
        : `${subject}: ${key === '' ? '' : `${key}: `}${issue.message}.`,
    remedy:
      typeof remedy === 'string' && remedy !== ''
        ? remedy
        : `Settings are ${settingKeys.join(', ')}; \`viaduct policy show home\` shows what values look like.`,
  });
}

export function isModel(name: string): name is ModelName {
  return (modelNames as readonly string[]).includes(name);
}

/** undefined: a built-in model. */
function findPolicy(name: string, policies: Policies): PolicyDocument | undefined {
  if (isModel(name)) return undefined;
  if (Object.hasOwn(policies, name)) return policies[name];
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `There is no policy "${name}".`,
    remedy: `Use one of ${[...Object.keys(policies), ...modelNames].join(', ')}, or write it under \`policies:\` in viaduct.yaml.`,
  });
}

function levelOfModel(name: ModelName): Level {
  const { settings, reasons } = models[name];
  return { from: `model ${name}`, values: settingsSchema.parse(settings), reasons };
}

interface Gathered {
  readonly name: string;
  readonly description: string | undefined;
  readonly stated: SettingValues;
  readonly from: Readonly<Partial<Record<SettingKey, Level>>>;
}

function settledOf({ from }: Gathered, values: SettledValues): SettledSettings {
  return Object.fromEntries(
    settingKeys
      .filter((key) => values[key] !== undefined)
      .map((key) => [key, { value: values[key], from: from[key]?.from ?? byDefault }]),
  );
}

function settle(gathered: Gathered): ResolvedPolicy {
  const { name, description, stated, from } = gathered;
  const values = withDefaults(stated);
  refuseContradictions(settledOf(gathered, values), `Policy ${name}`);
  const rows = settingKeys
    .filter((key) => meansSomething(key, values))
    .map((key): PolicyRow => {
      const level = from[key];
      const why = level === undefined ? reasonOfDefault(key, values) : level.reasons?.[key];
      return {
        key,
        value: writeSetting(key, values[key] as ValueOf[typeof key]),
        from: level?.from ?? byDefault,
        ...(why === undefined ? {} : { why }),
      };
    });
  return { name, description, settings: settingsOf(values), rows, stated };
}

function settingsOf(values: SettledValues): PolicySettings {
  return {
    session: {
      writes: values.writes,
      commit: values.commit,
      writeBackAfterMs: values['write-back-after'],
      writeBackRateBytesPerSecond: bound(values['write-back-rate']),
      writeBackWindowBytes: values['write-back-window'],
      dirtyLimitBytes: values['dirty-limit'],
      dirtyAgeMs: values['dirty-age'],
      outage: values.outage,
      onClose: values['on-close'],
      cacheQuotaBytes: bound(values['cache-quota']),
      isSoleWriter: values['sole-writer'],
      purpose: values.purpose,
      fetchRateBytesPerSecond: bound(values['fetch-rate']),
    },
    file: {
      readAheadBytes: values['read-ahead'],
      fetch: values.fetch,
      consistency: values.consistency,
      attributes: values['attribute-timeout'],
      isPinned: values.pin,
      priority: values['cache-priority'],
      isReadOnly: values.writes === 'read-only',
    },
  };
}

function bound(value: number | typeof unlimited): number | undefined {
  return value === unlimited ? undefined : value;
}
