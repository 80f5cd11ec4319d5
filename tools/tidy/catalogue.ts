/** The two catalogues: every limit has its reason, every error code its section in docs/errors.md, and nothing beyond them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lineAt, type Problem, type Tree } from './source.ts';

const limitsPath = 'src/base/limits.ts';
const errorsPath = 'src/base/errors.ts';
const errorsPage = 'docs/errors.md';

export function checkCatalogues(tree: Tree): Problem[] {
  return [...checkLimits(tree), ...checkErrors(tree)];
}

function checkLimits(tree: Tree): Problem[] {
  const file = tree.files.get(limitsPath);
  if (file === undefined) return [];
  const problems: Problem[] = [];
  const start = file.code.indexOf('export const limits');
  const end = file.code.indexOf('} as const', start);
  const lines = file.text.slice(start, end).split('\n');
  const firstLine = lineAt(file.text, start);
  let covered = false;
  lines.forEach((line, index) => {
    const name = /^ {2}(\w+):/.exec(line)?.[1];
    if (name !== undefined && !covered) {
      problems.push({
        path: limitsPath,
        line: firstLine + index,
        message: `the limit ${name} has no reason`,
        severity: 'error',
      });
    }
    // A comment covers the limits right below it, up to an empty line or the next comment.
    if (line.trim() === '') covered = false;
    else if (/^\s*(\/\*\*|\*)/.test(line)) covered = true;
  });
  return problems;
}

function checkErrors(tree: Tree): Problem[] {
  const file = tree.files.get(errorsPath);
  if (file === undefined) return [];
  const start = file.code.indexOf('export const errorCatalogue');
  const codes = [...file.code.slice(start, file.code.indexOf('} as const', start)).matchAll(/^ {2}([A-Z_]+):/gm)].map(
    (match) => match[1]!,
  );
  const page = join(tree.root, errorsPage);
  const text = existsSync(page) ? readFileSync(page, 'utf8') : '';
  const headings = [...text.matchAll(/^## ([A-Z_]+)$/gm)].map((match) => match[1]!);
  const problems: Problem[] = [];
  for (const code of codes) {
    if (!headings.includes(code))
      problems.push({ path: errorsPage, line: 1, message: `no section "## ${code}"`, severity: 'error' });
  }
  for (const heading of headings) {
    if (!codes.includes(heading))
      problems.push({ path: errorsPage, line: 1, message: `${heading} is not in the catalogue`, severity: 'error' });
  }
  const sources = [...tree.files.values()].filter((other) => other.path !== errorsPath).map((other) => other.text);
  for (const code of codes) {
    if (!sources.some((source) => source.includes(`'${code}'`))) {
      problems.push({ path: errorsPath, line: 1, message: `the code ${code} is never used`, severity: 'warning' });
    }
  }
  return problems;
}
