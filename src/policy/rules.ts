/**
 * Rules: which policy holds for which paths and sizes. The first one that matches wins.
 *
 *     - { name: memory images, path: '**' + '/*.{ram,mem}', size: '>= 64M', origin: store, policy: vm-memory }
 *
 *     of a session: the first rule without `size` that matches the origin's path
 *     of a file:    the first rule that matches its path and size
 */
import { counted, formatSize, parseSize, ViaductError, writeSize } from '../base/mod.ts';
import { globMatcher } from './glob.ts';

/** As viaduct.yaml has it. */
export interface RuleDocument {
  readonly name?: string | undefined;
  /** Globs; one that matches is enough. Absent: every path. */
  readonly path?: string | readonly string[] | undefined;
  readonly size?: string | undefined;
  /** The name of an origin. */
  readonly origin?: string | undefined;
  readonly policy: string;
}

/** Both inclusive; undefined: no bound. */
export interface SizeRange {
  readonly minBytes?: number | undefined;
  readonly maxBytes?: number | undefined;
}

/** A place at an origin. */
export interface OriginPlace {
  /** Its name in viaduct.yaml, if it has one. */
  readonly origin?: string | undefined;
  /** The path there, `/` at least. */
  readonly path: string;
}

export interface Subject extends OriginPlace {
  /** undefined: unknown, or not a file. */
  readonly sizeBytes?: number | undefined;
}

export interface Rule extends SizeRange {
  readonly name: string;
  readonly policy: string;
  readonly origin: string | undefined;
  /** Globs, one at least. */
  readonly paths: readonly string[];
  readonly hasSize: boolean;
  readonly matchesPath: (path: string) => boolean;
}

/** Throws CONFIGURATION_INVALID; `index`: its place in the list, from 0. */
export function readRule(document: RuleDocument, index: number): Rule {
  const option = document.name === undefined ? `rules[${index}]` : `rule ${document.name}`;
  const paths = document.path === undefined ? ['**'] : [document.path].flat();
  const matchers = paths.map((path) => globMatcher(path, `${option}: path`));
  return {
    name: document.name ?? `rule ${index + 1}`,
    policy: document.policy,
    origin: document.origin,
    paths,
    ...(document.size === undefined ? {} : parseSizeRange(document.size, `${option}: size`)),
    hasSize: document.size !== undefined,
    matchesPath: (path) => matchers.some((matches) => matches(path)),
  };
}

/** `>= 64M`, `> 1M`, `< 1G`, `<= 1G`, `= 512`, two of them (`>= 64M, < 1G`), `64M..1G`. `option`: for the error. */
export function parseSizeRange(text: string, option: string): SizeRange {
  const dots = text.split('..');
  if (dots.length === 2 && dots.every((part) => part.trim() !== ''))
    return checkedRange(text, option, parseSize(dots[0]!, option), parseSize(dots[1]!, option));
  let [minimum, maximum] = [0, Number.POSITIVE_INFINITY];
  const parts = text.split(/\s*(?:,|\band\b)\s*|\s+(?=[<>=])/);
  for (const part of parts) {
    const match = /^(>=|<=|>|<|=)\s*(.+)$/.exec(part.trim());
    if (match === null) {
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `${option}: "${text}" is not a comparison of sizes.`,
        remedy: 'Write ">= 64M", "< 1G", ">= 64M, < 1G", or "64M..1G".',
      });
    }
    const bytes = parseSize(match[2]!, option);
    const sign = match[1]!;
    if (sign !== '<' && sign !== '<=') minimum = Math.max(minimum, sign === '>' ? bytes + 1 : bytes);
    if (sign !== '>' && sign !== '>=') maximum = Math.min(maximum, sign === '<' ? bytes - 1 : bytes);
  }
  return checkedRange(text, option, minimum, maximum);
}

function checkedRange(text: string, option: string, minimum: number, maximum: number): SizeRange {
  if (minimum > maximum) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `${option}: no file can have the size "${text}".`,
      remedy: 'Write the smaller size first: ">= 64M, < 1G".',
    });
  }
  return {
    minBytes: minimum,
    ...(maximum === Number.POSITIVE_INFINITY ? {} : { maxBytes: maximum }),
  };
}

/** Parses back: `>= 64M, <= 1G`. */
export function writeSizeRange({ minBytes = 0, maxBytes }: SizeRange): string {
  if (maxBytes === undefined) return `>= ${writeSize(minBytes)}`;
  return `${minBytes === 0 ? '' : `>= ${writeSize(minBytes)}, `}<= ${writeSize(maxBytes)}`;
}

/** Why a rule does not hold; undefined: it does. */
export type Miss = 'origin' | 'path' | 'size unknown' | 'size';

export function missOf(rule: Rule, subject: Subject): Miss | undefined {
  if (rule.origin !== undefined && rule.origin !== subject.origin) return 'origin';
  if (!rule.matchesPath(subject.path)) return 'path';
  if (!rule.hasSize) return undefined;
  const { sizeBytes } = subject;
  if (sizeBytes === undefined) return 'size unknown';
  return sizeBytes >= (rule.minBytes ?? 0) && sizeBytes <= (rule.maxBytes ?? Number.POSITIVE_INFINITY)
    ? undefined
    : 'size';
}

/** One sentence on a rule that does not hold. */
export function tellMiss(rule: Rule, subject: Subject, miss: Miss): string {
  switch (miss) {
    case 'origin':
      return `It is for the origin ${rule.origin}; this is ${subject.origin ?? 'none that viaduct.yaml names'}.`;
    case 'path':
      return `${subject.path} does not match ${rule.paths.join(' or ')}.`;
    case 'size unknown':
      return `It asks for a size (${writeSizeRange(rule)}), and none is known here.`;
    case 'size': {
      const bytes = subject.sizeBytes!;
      return `Its size, ${bytes < 1024 ? counted(bytes, 'byte') : formatSize(bytes)}, is not ${writeSizeRange(rule)}.`;
    }
  }
}
