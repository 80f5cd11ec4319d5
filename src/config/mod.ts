/** Floor 6: viaduct.yaml, from its text to what holds, and what is wrong with it. */
export { type ChangedEntry, type ChangedSection, type ConfigurationChanges, compareConfigurations } from './compare.ts';
export {
  type Configuration,
  type ConfiguredCache,
  type ConfiguredDaemon,
  type ConfiguredSession,
  defaultConfigurationFile,
} from './configuration.ts';
export { configurationJsonSchema, type KeyRow, keyRows } from './json-schema.ts';
export { type InspectedConfiguration, inspectConfiguration, loadConfiguration } from './load.ts';
export {
  type ConfiguredOrigin,
  isBelow,
  isSameServer,
  type OriginReference,
  originBelow,
  resolveOrigin,
} from './origins.ts';
export { type ParsedConfiguration, parseConfiguration } from './parse.ts';
export { type ConfigurationProblem, formatProblem } from './problem.ts';
export { writeConfiguration } from './write.ts';
