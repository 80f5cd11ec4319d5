/**
 * What is wrong in a configuration file, and how it is told: in the manner of compilers, so that editors jump to it.
 *
 *     /etc/viaduct/viaduct.yaml:12:5: error: sessions.lab.lisen: there is no key "lisen" here.
 *         12 |     lisen: 127.0.0.2
 *            |     ^~~~~
 *       remedy: Did you mean "listen"?
 */
import { type Position, type Range, SourceText } from './source-text.ts';

/** Nothing of the file holds while it has an error; a warning is about what holds and is hardly meant. */
export type Severity = 'error' | 'warning';

export interface ConfigurationProblem extends Position {
  readonly severity: Severity;
  /** The key: `sessions.lab.listen`, `rules[2].path`; empty: the file as a whole. */
  readonly path: string;
  readonly cause: string;
  readonly remedy: string;
  /** Characters of the line that it is about, at least 1; 0: about no place (the file cannot be read). */
  readonly length: number;
  /** The other place, of a contradiction between two. */
  readonly other?: (Position & { readonly length: number; readonly path: string }) | undefined;
}

/** Before it is known which line and column a range is. */
export interface Finding {
  readonly severity: Severity;
  readonly range: Range;
  readonly path: string;
  readonly cause: string;
  readonly remedy: string;
  readonly other?: { readonly range: Range; readonly path: string } | undefined;
}

export type Path = readonly (string | number)[];

/** `sessions.lab.listen`, `rules[2].path`; a key that is no plain word is quoted: `sessions."a.b"`. */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += `${text === '' ? '' : '.'}${/^[\w-]+$/.test(part) ? part : JSON.stringify(part)}`;
  }
  return text;
}

export function place(source: SourceText, finding: Finding): ConfigurationProblem {
  const { severity, path, cause, remedy, other } = finding;
  return {
    severity,
    ...spanOf(source, finding.range),
    path,
    cause,
    remedy,
    ...(other === undefined ? {} : { other: { path: other.path, ...spanOf(source, other.range) } }),
  };
}

function spanOf(source: SourceText, [start, end]: Range): Position & { length: number } {
  const position = source.positionOf(start);
  const rest = source.line(position.line).length - (position.column - 1);
  return { ...position, length: Math.max(1, Math.min(end - start, rest)) };
}

/** Where it stands in the file; a warning stands after an error of the same place. */
export function inOrder(problems: readonly ConfigurationProblem[]): ConfigurationProblem[] {
  return [...problems].sort(
    (left, right) =>
      left.line - right.line ||
      left.column - right.column ||
      Number(left.severity === 'warning') - Number(right.severity === 'warning'),
  );
}

/** `FILE:LINE:COLUMN: error: KEY: cause`, without line and column if it is about the file. */
export function headOf(problem: ConfigurationProblem, file: string): string {
  const where = problem.length === 0 ? file : `${file}:${problem.line}:${problem.column}`;
  return `${where}: ${problem.severity}: ${problem.path === '' ? '' : `${problem.path}: `}${problem.cause}`;
}

/** The problem with the lines it is about, each with a caret below. */
export function formatProblem(problem: ConfigurationProblem, file: string, text: string | undefined): string {
  const lines = [headOf(problem, file)];
  const source = text === undefined ? undefined : new SourceText(text);
  if (source !== undefined && problem.length > 0) lines.push(...excerpt(source, problem));
  if (problem.other !== undefined) {
    lines.push(`  ${file}:${problem.other.line}:${problem.other.column}: and ${problem.other.path}`);
    if (source !== undefined) lines.push(...excerpt(source, problem.other));
  }
  lines.push(`  remedy: ${problem.remedy}`);
  return lines.join('\n');
}

const widest = 160;

function excerpt(source: SourceText, { line, column, length }: Position & { length: number }): string[] {
  const number = String(line).padStart(6);
  // A line of a megabyte is shown around its problem only.
  const from = column > widest ? column - 40 : 1;
  const shown = source.line(line).slice(from - 1, from - 1 + widest);
  // Tabs stay tabs above the caret too, however wide the terminal shows them.
  const before = shown.slice(0, column - from).replaceAll(/[^\t]/g, ' ');
  const caret = `^${'~'.repeat(Math.max(0, Math.min(length, shown.length - (column - from)) - 1))}`;
  return [`${number} | ${shown}`.trimEnd(), `${' '.repeat(6)} | ${before}${caret}`];
}
