/**
 * What zod finds, told to people: with the place in the text, the key, the cause, and what to write instead.
 *
 *     zod issue { path, code, ... } ──► Finding { range, path, cause, remedy }
 *                                          ▲
 *                   Located (document.ts) ─┘   known keys, descriptions: JSON Schema (json-schema.ts)
 */
import type { z } from 'zod';
import { limits, nearest } from '../base/mod.ts';
import { type Located, locate } from './document.ts';
import { type JsonSchema, keysAt, schemasAt } from './json-schema.ts';
import { type Finding, formatPath, type Path } from './problem.ts';
import { nameRemedy } from './schema.ts';

type Issue = z.core.$ZodIssue;

export function issueFindings(issues: readonly Issue[], root: Located, schema: JsonSchema): Finding[] {
  const findings: Finding[] = [];
  // No more than anybody reads: a file of nothing but unknown keys must not take minutes.
  for (const issue of issues.flatMap(oneByOne)) {
    if (findings.length > limits.configurationProblems) break;
    findings.push(...findingsOf(issue, [], root, schema));
  }
  return findings;
}

function oneByOne(issue: Issue): Issue[] {
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => ({ ...issue, keys: [key] })) : [issue];
}

function findingsOf(issue: Issue, above: Path, root: Located, schema: JsonSchema): Finding[] {
  const path = [...above, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(key, path, root, schema));
  if (issue.code === 'invalid_key') {
    const { key, range } = locate(root, path);
    return [found(key ?? range, path, `${JSON.stringify(path.at(-1))} is not a name.`, nameRemedy)];
  }
  if (issue.code === 'invalid_union') {
    const branch = branchMeant(issue);
    if (branch !== undefined) return branch.flatMap((inner) => findingsOf(inner, path, root, schema));
  }
  const here = locate(root, path);
  if (!isThere(root, path)) return [missing(path, here, schema)];
  // What could not be read was told when it was read.
  if (here.value === undefined) return [];
  return [found(here.range, path, sentence(causeOf(issue, here.value)), remedyOf(issue, here.value, path, schema))];
}

function found(range: Finding['range'], path: Path, cause: string, remedy: string): Finding {
  return { severity: 'error', range, path: formatPath(path), cause, remedy };
}

function unknownKey(key: string, path: Path, root: Located, schema: JsonSchema): Finding {
  const known = keysAt(schema, path);
  const at = [...path, key];
  const { key: range, range: value } = locate(root, at);
  const meant = nearest(key, known);
  const hint = meant === undefined ? elsewhere(key, schema) : `Did you mean ${JSON.stringify(meant)}?`;
  const remedy = `${hint === '' ? '' : `${hint} `}Known here: ${known.join(', ')}.`;
  return found(range ?? value, at, `there is no key ${JSON.stringify(key)} here.`, remedy);
}

/** A key that is right, but in another place. */
function elsewhere(key: string, schema: JsonSchema): string {
  const places: readonly (readonly [string, Path])[] = [
    ['at the top level', []],
    ['in `daemon`', ['daemon']],
    ['in `daemon.api`', ['daemon', 'api']],
    ['in a policy, or in the `settings` of a session', ['policies', 'NAME']],
    ['in a session', ['sessions', 'NAME']],
    ['in an origin', ['origins', 'NAME']],
    ['in a cache', ['caches', 'NAME']],
  ];
  const place = places.find(([, path]) => keysAt(schema, path).includes(key));
  return place === undefined ? '' : `${JSON.stringify(key)} stands ${place[0]}.`;
}

function missing(path: Path, here: Located, schema: JsonSchema): Finding {
  const key = String(path.at(-1));
  const description = describe(schema, path);
  return found(
    here.key ?? here.range,
    path.slice(0, -1),
    `the key ${JSON.stringify(key)} is missing.`,
    `Add it${description === '' ? '.' : `: ${description}`}`,
  );
}

function isThere(root: Located, path: Path): boolean {
  let at: Located | undefined = root;
  for (const part of path) at = at?.children?.get(part);
  return at !== undefined;
}

/** The alternative that was meant: the one of which the kind is right, so that what is wrong lies deeper or is about the value. */
function branchMeant(issue: Extract<Issue, { code: 'invalid_union' }>): readonly Issue[] | undefined {
  return issue.errors.find((branch) =>
    branch.every((inner) => inner.path.length > 0 || inner.code === 'custom' || inner.code === 'unrecognized_keys'),
  );
}

function causeOf(issue: Issue, value: unknown): string {
  if (value === null) return 'nothing is written here';
  if (issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')) {
    const wanted = kinds[issue.expected] ?? issue.expected;
    return `${kindOf(value)} stands here, and ${wanted} is wanted`;
  }
  return issue.message;
}

const kinds: Readonly<Record<string, string>> = {
  object: 'a mapping (KEY: VALUE, indented)',
  record: 'a mapping (NAME: ..., indented)',
  array: 'a list (- ...)',
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
};

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  return JSON.stringify(value).slice(0, 64);
}

function remedyOf(issue: Issue, value: unknown, path: Path, schema: JsonSchema): string {
  const params: unknown = issue.code === 'custom' ? issue.params?.remedy : undefined;
  if (typeof params === 'string' && params !== '') return params;
  if (issue.code === 'invalid_value') {
    const meant = typeof value === 'string' ? nearest(value, issue.values.map(String)) : undefined;
    return meant === undefined ? `Write one of ${issue.values.map(String).join(', ')}.` : `Did you mean "${meant}"?`;
  }
  if (issue.code === 'invalid_format' && formatPath(path).endsWith('policy')) return nameRemedy;
  if (typeof value === 'number' && issue.code === 'invalid_type' && issue.expected === 'string') {
    return `Put it in quotes if it is meant: "${value}".`;
  }
  return remedyFromSchema(schema, path);
}

function remedyFromSchema(schema: JsonSchema, path: Path): string {
  const schemas = schemasAt(schema, path);
  const number = schemas.find(({ type }) => type === 'integer');
  if (number !== undefined) return `Write a whole number from ${number.minimum} to ${number.maximum}.`;
  const description = describe(schema, path);
  const example = /Example: (`[^`]+`)\.$/.exec(description)?.[1];
  if (example !== undefined) return `Write for example ${example}.`;
  const examples = schemas.flatMap((one) => one.examples ?? []);
  if (examples.length > 0) return `Write for example ${examples.join(' or ')}.`;
  const keys = keysAt(schema, path);
  if (keys.length > 0) return `Write keys below it: ${keys.join(', ')}.`;
  return description === '' ? 'Correct the value; `viaduct config schema` says what it may be.' : description;
}

/** What the key is for. Of an item of a list: what the list is for. */
function describe(schema: JsonSchema, path: Path): string {
  for (let length = path.length; length > 0; length--) {
    const parent = schemasAt(schema, path.slice(0, length - 1));
    const key = path[length - 1]!;
    for (const candidate of parent) {
      const described = typeof key === 'string' ? candidate.properties?.[key]?.description : undefined;
      if (described !== undefined) return described;
    }
    if (typeof key === 'string') return '';
  }
  return '';
}

function sentence(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}
