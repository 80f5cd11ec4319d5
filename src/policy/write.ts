/** Checked settings as text again: what is written here parses back to the same values. */
import { unlimited, writeDuration, writeSize } from '../base/mod.ts';
import { type SettingKey, type SettingsDocument, type SettingValues, settingKeys, type ValueOf } from './settings.ts';
import { type AttributeTimes, defaultAttributeTimes, longestTimes, type OutageSetting } from './values.ts';

type Written = { readonly [Key in SettingKey]: NonNullable<SettingsDocument[Key]> };
type Writers = { readonly [Key in SettingKey]: (value: ValueOf[Key]) => Written[Key] };

const asIs = <Value>(value: Value): Value => value;

const writers: Writers = {
  writes: asIs,
  commit: asIs,
  'write-back-after': writeDuration,
  'write-back-rate': writeBound,
  'write-back-window': writeSize,
  'dirty-limit': writeSize,
  'dirty-age': writeDuration,
  outage: writeOutage,
  'on-close': asIs,
  'cache-quota': writeBound,
  'sole-writer': asIs,
  purpose: asIs,
  'fetch-rate': writeBound,
  'read-ahead': writeSize,
  fetch: asIs,
  consistency: asIs,
  'attribute-timeout': writeTimes,
  pin: asIs,
  'cache-priority': asIs,
};

/** What to put under `settings:`, or into a request. */
export function writeSettings(values: SettingValues): SettingsDocument {
  return Object.fromEntries(
    settingKeys
      .filter((key) => values[key] !== undefined)
      .map((key) => [key, writeValue(key, values[key] as ValueOf[typeof key])]),
  );
}

/** One value as YAML has it on one line. */
export function writeSetting<Key extends SettingKey>(key: Key, value: ValueOf[Key]): string {
  const written = writeValue(key, value);
  if (typeof written === 'object') return flow(written);
  // YAML would read these names of purposes as something else than text.
  const isAmbiguous = key === 'purpose' && /^([0-9-].*|true|false|null)$/.test(String(written));
  return isAmbiguous ? `"${written}"` : String(written);
}

function writeValue<Key extends SettingKey>(key: Key, value: ValueOf[Key]): Written[Key] {
  return writers[key](value);
}

function flow(written: object): string {
  const pairs = Object.entries(written).map(([key, range]) => `${key}: [${(range as string[]).join(', ')}]`);
  return `{ ${pairs.join(', ')} }`;
}

function writeBound(value: number | typeof unlimited): string {
  return value === unlimited ? unlimited : writeSize(value);
}

function writeOutage({ misses, failAfterMs }: OutageSetting): string {
  return misses === 'fail' ? `fail:${writeDuration(failAfterMs)}` : misses;
}

function writeTimes(times: AttributeTimes): Written['attribute-timeout'] {
  const short = longestTimes(times.fileMaximumMs);
  const isShort = (Object.keys(defaultAttributeTimes) as (keyof AttributeTimes)[]).every(
    (key) => times[key] === short[key],
  );
  if (isShort) return writeDuration(times.fileMaximumMs);
  return {
    file: [writeDuration(times.fileMinimumMs), writeDuration(times.fileMaximumMs)],
    directory: [writeDuration(times.directoryMinimumMs), writeDuration(times.directoryMaximumMs)],
  };
}
