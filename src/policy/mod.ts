/** Floor 2: what sessions and files may be told, under which names, and which of it holds. Plain functions on plain data. */

export {
  type ChosenPolicy,
  choosePolicy,
  compileFileRules,
  type PolicyConfiguration,
  type PolicyRequest,
  sessionRule,
} from './choose.ts';
export type { Contradiction } from './contradictions.ts';
export { describeModels, describePolicy, type PolicyDescription, policyLines } from './describe.ts';
export { type ExplainedRow, type Explanation, explainPath, explanationLines, type Question } from './explain.ts';
export { globMatcher } from './glob.ts';
export {
  isModel,
  type Policies,
  type PolicyRow,
  policyContradictions,
  type ResolvedPolicy,
  resolvePolicy,
} from './resolve.ts';
export { type OriginPlace, parseSizeRange, type RuleDocument, readRule } from './rules.ts';
export {
  type CloseMode,
  type CommitMode,
  type FileDefaults,
  fileKeys,
  type ModelName,
  modelNames,
  type PolicyDocument,
  type PolicySettings,
  policyDocumentSchema,
  type SessionSettings,
  type SettingKey,
  type SettingsDocument,
  type SettingValues,
  sessionKeys,
  settingKeys,
  settingsSchema,
  type WriteMode,
} from './settings.ts';
export {
  type AttributeTimes,
  type Bounds,
  choiceValue,
  durationValue,
  type OutageSetting,
  quotaValue,
  rateValue,
  sizeValue,
  switchValue,
} from './values.ts';
export { writeSettings } from './write.ts';
