/**
 * What changed from one configuration to another, by name: for reload, which leaves alone what did not.
 *
 * Names of keys are those of the file: `sessions.lab.settings.dirty-limit` changed is `{ name: 'lab', keys: ['settings.dirty-limit'] }`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Configuration } from './configuration.ts';

export interface ChangedEntry {
  readonly name: string;
  /** Which keys, of mappings in it which of theirs. */
  readonly keys: readonly string[];
}

export interface ChangedSection {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly ChangedEntry[];
}

export interface ConfigurationChanges {
  readonly sessions: ChangedSection;
  readonly policies: ChangedSection;
  readonly caches: ChangedSection;
  readonly origins: ChangedSection;
  /** Keys below `daemon`: `workers`, `api.tcp`. */
  readonly daemon: readonly string[];
  /** Whether rules, their order, or `default-policy` are other ones. */
  readonly rules: boolean;
  readonly isEmpty: boolean;
}

export function compareConfigurations(before: Configuration, after: Configuration): ConfigurationChanges {
  const sessions = compareSection(byName(before.sessions), byName(after.sessions));
  const policies = compareSection(before.policies, after.policies);
  const caches = compareSection(byName(before.caches), byName(after.caches));
  const origins = compareSection(byName(before.origins), byName(after.origins));
  const daemon = changedKeys(before.daemon, after.daemon).filter((key) => key !== 'reservedAddresses');
  const rules = before.defaultPolicy !== after.defaultPolicy || !isDeepStrictEqual(before.rules, after.rules);
  const isEmpty =
    !rules &&
    daemon.length === 0 &&
    [sessions, policies, caches, origins].every(
      (section) => section.added.length + section.removed.length + section.changed.length === 0,
    );
  return { sessions, policies, caches, origins, daemon: daemon.map(keyOfFile), rules, isEmpty };
}

function compareSection(
  before: Readonly<Record<string, object>>,
  after: Readonly<Record<string, object>>,
): ChangedSection {
  const common = Object.keys(before).filter((name) => Object.hasOwn(after, name));
  return {
    added: Object.keys(after).filter((name) => !Object.hasOwn(before, name)),
    removed: Object.keys(before).filter((name) => !Object.hasOwn(after, name)),
    changed: common.flatMap((name) => {
      const keys = changedKeys(before[name]!, after[name]!).map(keyOfFile);
      return keys.length === 0 ? [] : [{ name, keys }];
    }),
  };
}

function byName<Entry extends { readonly name: string }>(entries: readonly Entry[]): Record<string, Entry> {
  return Object.fromEntries(entries.map((entry) => [entry.name, entry]));
}

function changedKeys(before: object, after: object): string[] {
  const [left, right] = [before as Record<string, unknown>, after as Record<string, unknown>];
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) => {
    const [old, now] = [left[key], right[key]];
    if (isDeepStrictEqual(old, now)) return [];
    if (isMapping(old) || isMapping(now)) {
      const inner = changedKeys(isMapping(old) ? old : {}, isMapping(now) ? now : {});
      if (inner.length > 0) return inner.map((one) => `${key}.${one}`);
    }
    return [key];
  });
}

function isMapping(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Fields that the file calls otherwise. */
function keyOfFile(key: string): string {
  if (key === 'sizeBytes') return 'size';
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replace(/^api\.tcp\..*$/, 'api.tcp');
}
