/**
 * The text of a viaduct.yaml to what holds, or to all that is wrong with it. Pure.
 *
 *     text ──document──► values with places ──schema──► checked values ──configuration──► Configuration
 *                │                              │                             │
 *                └──────── findings ◄───────────┴──── cross checks ◄──────────┘
 *
 * What the schema refuses is taken out before the rest is looked at, so that one mistake does not hide the others.
 */
import { dirname, resolve } from 'node:path';
import { limits } from '../base/mod.ts';
import type { Policies, SettingsDocument } from '../policy/mod.ts';
import { checkAddresses, reservedAddresses } from './check-addresses.ts';
import { checkDirectories } from './check-directories.ts';
import { checkPolicies } from './check-policies.ts';
import { checkReferences } from './check-references.ts';
import { checkRules } from './check-rules.ts';
import { checkSessions } from './check-sessions.ts';
import { Collector } from './collector.ts';
import { type Configuration, resolveConfiguration } from './configuration.ts';
import { type Located, readDocument } from './document.ts';
import { issueFindings } from './issues.ts';
import { configurationJsonSchema } from './json-schema.ts';
import { type ConfigurationProblem, type Finding, inOrder, type Path, place, type Severity } from './problem.ts';
import { type ConfigurationFile, configurationSchema } from './schema.ts';
import { SourceText } from './source-text.ts';

export interface ParsedConfiguration {
  /** Absent if there are errors. */
  readonly configuration?: Configuration | undefined;
  /** In the order of the file, errors and warnings. */
  readonly problems: readonly ConfigurationProblem[];
}

/** `file`: relative paths in the text are relative to its folder. */
export function parseConfiguration(text: string, { file }: { readonly file: string }): ParsedConfiguration {
  const { configuration, findings } = parseText(text, file);
  return { ...(hasErrors(findings) ? {} : { configuration }), problems: placed(text, findings) };
}

/** What was found, before it is put in order: who looks at more than the text adds to it. */
export interface ParsedText {
  readonly root: Located;
  /** As far as it could be understood; it holds only if nothing that was found is an error. */
  readonly configuration: Configuration | undefined;
  readonly findings: readonly Finding[];
}

export function parseText(text: string, file: string): ParsedText {
  const { root, findings } = readDocument(text);
  const all = [...findings];
  // Of a text that is no YAML nothing more can be said.
  const isReadable = root.value !== undefined || findings.length === 0;
  const configuration = isReadable ? check(root, resolve(file), all) : undefined;
  return { root, configuration, findings: all };
}

export function hasErrors(findings: readonly { readonly severity: Severity }[]): boolean {
  return findings.some(({ severity }) => severity === 'error');
}

export function placed(text: string, findings: readonly Finding[]): ConfigurationProblem[] {
  const source = new SourceText(text);
  // An error must not be lost behind warnings.
  const errorsFirst = [...findings].sort(
    (left, right) => Number(left.severity === 'warning') - Number(right.severity === 'warning'),
  );
  return inOrder(errorsFirst.slice(0, limits.configurationProblems).map((finding) => place(source, finding)));
}

function check(root: Located, file: string, findings: Finding[]): Configuration | undefined {
  const folder = dirname(file);
  const { values, written } = checkSchema(root, findings);
  if (values === undefined) return undefined;
  const resolved = resolveConfiguration(values, { file, folder, ...writtenIn(written) });
  const collector = new Collector(root);
  checkReferences(resolved, collector, folder);
  checkAddresses(resolved, collector);
  checkDirectories(resolved, collector, folder);
  checkPolicies(resolved, collector);
  checkRules(resolved, collector);
  checkSessions(resolved, collector, folder);
  findings.push(...collector.findings);
  return { ...resolved, daemon: { ...resolved.daemon, reservedAddresses: reservedAddresses(resolved) } };
}

/** Without what is refused, so that the rest can be looked at. */
function checkSchema(root: Located, findings: Finding[]): { values: ConfigurationFile | undefined; written: unknown } {
  const written = copyOf(root.value ?? {});
  let isFirst = true;
  // What was taken out may be missed by what held it, which then goes too: the file is five levels deep.
  for (let round = 0; round <= 5; round++) {
    const parsed = configurationSchema.safeParse(written);
    if (parsed.success) return { values: parsed.data, written };
    if (isFirst) findings.push(...issueFindings(parsed.error.issues, root, configurationJsonSchema()));
    isFirst = false;
    const refused = parsed.error.issues.flatMap((issue): Path[] => {
      const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
      return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path];
    });
    if (!refused.every((path) => takeOut(written, path))) break;
  }
  return { values: undefined, written };
}

/** Takes out what is at the path; of a list: the list, since what is behind it must keep its number. False: nothing is left of the whole. */
function takeOut(value: unknown, path: Path): boolean {
  let holder = value;
  /** The innermost mapping above what is refused, and its key there. */
  let cut: readonly [Record<string, unknown>, string] | undefined;
  for (const [depth, part] of path.entries()) {
    if (!isRecord(holder) || typeof part !== 'string') break;
    if (!Object.hasOwn(holder, part)) {
      // A key that is missing: what misses it goes. Something above it is missing: that went before.
      if (depth < path.length - 1) return true;
      break;
    }
    cut = [holder, part];
    holder = holder[part];
  }
  if (cut === undefined) return false;
  delete cut[0][cut[1]];
  return true;
}

function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, copyOf(child)]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What stays as it is written, as in a request to open a session. */
function writtenIn(written: unknown): { policies: Policies; settings: Map<string, SettingsDocument> } {
  const { policies, sessions } = isRecord(written) ? written : {};
  const settings = new Map<string, SettingsDocument>();
  for (const [name, session] of Object.entries(isRecord(sessions) ? sessions : {})) {
    // The schema has taken both as such.
    if (isRecord(session) && isRecord(session.settings)) settings.set(name, session.settings as SettingsDocument);
  }
  return { policies: isRecord(policies) ? (policies as Policies) : {}, settings };
}
