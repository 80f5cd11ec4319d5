/** Rules: what they match, and whether they ever can. */
import { ViaductError } from '../base/mod.ts';
import { globMatcher, parseSizeRange, type RuleDocument, readRule } from '../policy/mod.ts';
import type { Collector } from './collector.ts';
import type { Configuration } from './configuration.ts';
import type { Path } from './problem.ts';

export type ReadRule = ReturnType<typeof readRule>;

/** Those that can be read, with their places in the list. */
export function readRules(rules: readonly RuleDocument[]): { rule: ReadRule; index: number }[] {
  return rules.flatMap((document, index) => {
    try {
      return [{ rule: readRule(document, index), index }];
    } catch (error) {
      if (error instanceof ViaductError) return [];
      throw error;
    }
  });
}

export function checkRules({ rules }: Configuration, collector: Collector): void {
  for (const [index, { path, size }] of rules.entries()) {
    const at: Path = ['rules', index];
    if (Array.isArray(path)) {
      for (const [number, glob] of path.entries())
        told(collector, [...at, 'path', number], (option) => globMatcher(glob, option));
    } else if (typeof path === 'string') {
      told(collector, [...at, 'path'], (option) => globMatcher(path, option));
    }
    if (size !== undefined) told(collector, [...at, 'size'], (option) => parseSizeRange(size, option));
  }
  const readable = readRules(rules);
  for (const [place, { rule, index }] of readable.entries()) {
    const earlier = readable.slice(0, place).find((other) => covers(other.rule, rule));
    if (earlier === undefined) continue;
    collector.warning(['rules', index], {
      cause: `this rule never holds: ${describe(rules[earlier.index]!, earlier.index)} comes first and matches all that it matches.`,
      remedy: 'Put it before that one, or remove it: the first rule that matches wins.',
      other: ['rules', earlier.index],
    });
  }
}

/** Whether whatever the second matches is matched by the first, as far as that is plain to see. */
function covers(first: ReadRule, second: ReadRule): boolean {
  const isAnyPath = first.paths.some((path) => /^\/?(?:\*\*\/?)+(?:\/\*)?$/.test(path) || path === '*');
  const isPath = isAnyPath || second.paths.every((path) => first.paths.includes(path));
  const isOrigin = first.origin === undefined || first.origin === second.origin;
  const isSize =
    !first.hasSize ||
    (second.hasSize &&
      (first.minBytes ?? 0) <= (second.minBytes ?? 0) &&
      (first.maxBytes ?? Number.POSITIVE_INFINITY) >= (second.maxBytes ?? Number.POSITIVE_INFINITY));
  return isPath && isOrigin && isSize;
}

function describe({ name }: RuleDocument, index: number): string {
  return name === undefined ? `rule ${index + 1}` : `rule ${index + 1}, "${name}",`;
}

function told(collector: Collector, path: Path, read: (option: string) => unknown): void {
  const option = String(path.findLast((part) => typeof part === 'string'));
  try {
    read(option);
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    const { message, remedy } = error;
    collector.error(path, { cause: message.replace(`${option}: `, ''), remedy });
  }
}
