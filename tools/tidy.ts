/**
 * What a tool can check is no matter for review: floors, cycles, dead files, forbidden calls, sizes, the catalogues of limits
 * and errors, and the documents. Usage: `tools/tidy.ts [--root DIR] [--quiet]`; exits with 1 if anything is wrong.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkCalls } from './tidy/calls.ts';
import { checkCatalogues } from './tidy/catalogue.ts';
import { checkCycles } from './tidy/cycles.ts';
import { checkDeadFiles } from './tidy/dead.ts';
import { checkDocuments } from './tidy/documents.ts';
import { checkFloors } from './tidy/floors.ts';
import { checkSizes } from './tidy/size.ts';
import { type Problem, readTree } from './tidy/source.ts';

const { values } = parseArgs({ options: { root: { type: 'string' }, quiet: { type: 'boolean', default: false } } });
const tree = readTree(resolve(values.root ?? `${import.meta.dirname}/..`));
const checks = [checkFloors, checkCycles, checkDeadFiles, checkCalls, checkSizes, checkCatalogues, checkDocuments];
const problems = checks.flatMap((check) => check(tree)).sort(byPlace);
const errors = problems.filter((problem) => problem.severity === 'error');

for (const problem of problems) {
  if (values.quiet && problem.severity === 'warning') continue;
  process.stdout.write(`${problem.path}:${problem.line}: ${problem.severity}: ${problem.message}\n`);
}
process.stdout.write(
  `tidy: ${tree.files.size} files, ${errors.length} errors, ${problems.length - errors.length} warnings\n`,
);
process.exitCode = errors.length === 0 ? 0 : 1;

function byPlace(a: Problem, b: Problem): number {
  if (a.path !== b.path) return a.path < b.path ? -1 : 1;
  return a.line - b.line;
}
