/** What holds where nobody says anything: as `viaduct proxy` without options. Some of it follows from what was said. */
import { limits, unlimited } from '../base/mod.ts';
import { keepsLog, type SettingKey, type SettingValues } from './settings.ts';
import { defaultAttributeTimes, defaultFailAfterMs } from './values.ts';

/** A value of each setting that means something beside the others; the rest is left out. */
export type SettledValues = Pick<SettingValues, 'commit' | 'on-close'> & {
  readonly [Key in Exclude<SettingKey, 'commit' | 'on-close'>]: NonNullable<SettingValues[Key]>;
};

/** `stated` wins; it has no key without a value. */
export function withDefaults(stated: SettingValues): SettledValues {
  const writes = stated.writes ?? 'write-through';
  const writeBackAfterMs = stated['write-back-after'] ?? 5_000;
  const commit = keepsLog(writes) ? 'local' : writes === 'write-through' ? 'next' : undefined;
  const onClose = writes === 'write-back' ? 'write-back' : writes === 'redirect' ? 'keep' : undefined;
  return {
    ...(commit === undefined ? {} : { commit }),
    ...(onClose === undefined ? {} : { 'on-close': onClose }),
    'write-back-rate': unlimited,
    'write-back-window': limits.writeBackFlightBytes,
    'dirty-limit': 4 * 1024 ** 3,
    // A longer delay alone means that older changes are wanted, too.
    'dirty-age': Math.max(30_000, writeBackAfterMs),
    outage: { misses: 'hold', failAfterMs: defaultFailAfterMs },
    'cache-quota': unlimited,
    'sole-writer': false,
    purpose: 'boot',
    'fetch-rate': unlimited,
    'read-ahead': limits.readAheadBytes,
    fetch: 'auto',
    consistency: 'close-to-open',
    'attribute-timeout': defaultAttributeTimes,
    pin: false,
    'cache-priority': 'normal',
    ...stated,
    writes,
    'write-back-after': writeBackAfterMs,
  } as SettledValues;
}

/** Why a default is what it is, where it follows from another setting. */
export function reasonOfDefault(key: SettingKey, values: SettledValues): string | undefined {
  if (key === 'commit') {
    return keepsLog(values.writes)
      ? `With writes: ${values.writes}, this host’s log is where data is safe.`
      : 'With writes: write-through, the origin’s own answer says what is safe.';
  }
  if (key === 'on-close') {
    return values.writes === 'write-back'
      ? 'With writes: write-back, the origin gets what was written.'
      : 'With writes: redirect, only you say whether the origin gets it.';
  }
  if (key === 'dirty-age' && values['dirty-age'] > 30_000) return 'It is never less than write-back-after.';
  return undefined;
}

const ofLog: readonly SettingKey[] = ['write-back-rate', 'write-back-window', 'dirty-limit', 'dirty-age'];

/** What means nothing beside the others is not told. */
export function meansSomething(key: SettingKey, values: SettledValues): boolean {
  if (key === 'write-back-after') return values.writes === 'write-back';
  if (ofLog.includes(key)) return keepsLog(values.writes);
  if (key === 'attribute-timeout') return values.consistency === 'close-to-open';
  return values[key] !== undefined;
}
