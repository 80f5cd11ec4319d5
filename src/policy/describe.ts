/** For `viaduct policy list` and `show`: what there is, what it is for, and what each setting of it means. */
import { consequence, summary } from './consequences.ts';
import { withDefaults } from './defaults.ts';
import { type ExplainedRow, rowLines } from './explain.ts';
import { type Policies, resolvePolicy } from './resolve.ts';
import { modelNames, type ValueOf } from './settings.ts';

export interface PolicyDescription {
  readonly name: string;
  readonly isModel: boolean;
  /** The model that it starts from. */
  readonly model?: string | undefined;
  /** One sentence. */
  readonly description?: string | undefined;
  /** In one line: `write-back, on-close write-back; fetch working-set; close-to-open`. */
  readonly summary: string;
  readonly settings: readonly ExplainedRow[];
}

/** The built-in ones. */
export function describeModels(): PolicyDescription[] {
  return modelNames.map((name) => describePolicy(name, {}));
}

/** Throws CONFIGURATION_INVALID for an unknown name, and for a policy that contradicts itself. */
export function describePolicy(name: string, policies: Policies): PolicyDescription {
  const { description, rows, stated } = resolvePolicy(name, policies);
  const values = withDefaults(stated);
  const own = Object.hasOwn(policies, name) ? policies[name] : undefined;
  return {
    name,
    isModel: own === undefined,
    ...(own?.model === undefined ? {} : { model: own.model }),
    ...(description === undefined ? {} : { description }),
    summary: summary(values),
    settings: rows.map((row) => ({
      ...row,
      follows: consequence(row.key, values[row.key] as ValueOf[typeof row.key], values),
    })),
  };
}

/** For people: the same as lines of text. */
export function policyLines({ name, isModel, model, description, settings }: PolicyDescription): string[] {
  const kind = isModel ? 'model, built in' : model === undefined ? 'policy' : `policy, starts from model ${model}`;
  return [`${name} (${kind})`, ...(description === undefined ? [] : [`  ${description}`]), '', ...rowLines(settings)];
}
