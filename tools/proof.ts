/**
 * `npm run proof`: the claims that take too long for `npm test`, in rounds. Usage: `tools/proof.ts [NAME...] [--rounds N]`.
 *
 * Resumable: each round that ends is one dated line of docs/proof/NAME.jsonl, together with the tree of src/ that it ran on (git's
 * name for it, so that committing results changes nothing), and the next run goes on with the first round that this tree has
 * not passed. A failed round is kept too, and makes the exit code 1.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Proof } from '../test/proof/proof.ts';

interface Round {
  readonly date: string;
  readonly sources: string;
  readonly round: number;
  readonly passed: boolean;
  readonly seconds: number;
  readonly figures?: Record<string, string | number>;
  readonly error?: string;
}

const root = join(import.meta.dirname, '..');
const results = join(root, 'docs/proof');
const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: 'string' } } });
const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
const sources = `${git('rev-parse', '--short=12', 'HEAD:src')}${git('status', '--porcelain', 'src') === '' ? '' : '-dirty'}`;

const files = globSync('test/proof/*.proof.ts', { cwd: root }).sort();
const chosen = files.filter((file) => positionals.length === 0 || positionals.includes(nameOf(file)));
if (chosen.length === 0) {
  process.stderr.write(`proof: no such proof; there are: ${files.map(nameOf).join(', ')}\n`);
  process.exit(2);
}
mkdirSync(results, { recursive: true });
let failed = false;
for (const file of chosen) {
  const { proof }: { proof: Proof } = await import(join(root, file));
  if (!(await prove(nameOf(file), proof))) failed = true;
}
process.exitCode = failed ? 1 : 0;

async function prove(name: string, proof: Proof): Promise<boolean> {
  const path = join(results, `${name}.jsonl`);
  const done = new Set(
    roundsIn(path)
      .filter((round) => round.sources === sources && round.passed)
      .map((round) => round.round),
  );
  const wanted = values.rounds === undefined ? proof.rounds : Number(values.rounds);
  process.stdout.write(`${name}: ${proof.claim}\n  ${done.size} of ${wanted} rounds are done for src ${sources}\n`);
  let passed = true;
  for (let round = 1; round <= wanted; round++) {
    if (done.has(round)) continue;
    const result = await runRound(proof, round);
    appendFileSync(path, `${JSON.stringify(result)}\n`);
    process.stdout.write(
      `  round ${round}: ${result.passed ? 'passed' : `FAILED: ${result.error}`} (${result.seconds} s)\n`,
    );
    passed &&= result.passed;
  }
  return passed;
}

async function runRound(proof: Proof, round: number): Promise<Round> {
  const start = performance.now();
  const head = { date: new Date().toISOString(), sources, round };
  const seconds = (): number => Math.round((performance.now() - start) / 100) / 10;
  try {
    const figures = await proof.run(round, (line) => process.stdout.write(`    ${line}\n`));
    return { ...head, passed: true, seconds: seconds(), figures };
  } catch (error) {
    return {
      ...head,
      passed: false,
      seconds: seconds(),
      error: portable(error instanceof Error ? error.message : String(error)),
    };
  }
}

function roundsIn(path: string): Round[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line): Round => JSON.parse(line));
}

function nameOf(file: string): string {
  return basename(file, '.proof.ts');
}

/** The results are kept: where this checkout and its Node lie is of no use to others. */
function portable(message: string): string {
  return message.replaceAll(`file://${root}/`, '').replaceAll(`${root}/`, '').replaceAll(process.execPath, 'node');
}
