/**
 * `npm run proof`: the proofs that take too long for `npm test`. Usage: `tools/proof.ts [--case NAME] [--rounds N] [--fresh]`.
 *
 * Each case of test/proof/ runs in rounds. A round that is done is remembered in .cache/proof/ together with the commit, so that a
 * run that was stopped goes on where it was; `--fresh` forgets. A case that has all its rounds is written to
 * docs/proof/DATE-CASE.json, and docs/proof/README.md is made anew from all of these.
 */
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Proof } from '../test/proof/proof.ts';

interface Round {
  readonly round: number;
  readonly seconds: number;
  readonly passed: boolean;
  readonly facts: Readonly<Record<string, string | number>>;
}

interface State {
  readonly commit: string;
  readonly rounds: Round[];
}

const root = join(import.meta.dirname, '..');
const stateDirectory = join(root, '.cache/proof');
const resultDirectory = join(root, 'docs/proof');

const { values } = parseArgs({
  options: { case: { type: 'string' }, rounds: { type: 'string' }, fresh: { type: 'boolean', default: false } },
});
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
mkdirSync(stateDirectory, { recursive: true });
mkdirSync(resultDirectory, { recursive: true });

const files = globSync('test/proof/*.proof.ts', { cwd: root }).sort();
let failures = 0;
let executed = 0;
for (const file of files) {
  const name = basename(file, '.proof.ts');
  if (values.case !== undefined && values.case !== name) continue;
  const { proof } = (await import(join(root, file))) as { proof: Proof };
  executed++;
  if (!(await runCase(name, proof))) failures++;
}
if (executed === 0) {
  process.stderr.write(
    `no such case: ${values.case}; there are ${files.map((file) => basename(file, '.proof.ts')).join(', ')}\n`,
  );
  process.exit(2);
}
writeSummary();
process.stdout.write(`\n${executed - failures} passed, ${failures} failed\n`);
process.exitCode = failures === 0 ? 0 : 1;

async function runCase(name: string, proof: Proof): Promise<boolean> {
  const total = values.rounds === undefined ? proof.rounds : Number(values.rounds);
  const stateFile = join(stateDirectory, `${name}.json`);
  if (values.fresh) rmSync(stateFile, { force: true });
  const state = load(stateFile);
  process.stdout.write(`\n=== ${name}: ${proof.claim}\n`);
  if (state.rounds.length > 0) process.stdout.write(`    ${state.rounds.length} of ${total} rounds are done already\n`);
  for (let round = state.rounds.length; round < total; round++) {
    const began = performance.now();
    let passed = true;
    let facts: Record<string, string | number>;
    try {
      facts = await proof.run(round, (line) => process.stdout.write(`    ${line}\n`));
    } catch (error) {
      passed = false;
      facts = { failure: error instanceof Error ? `${error.message}` : String(error) };
    }
    const seconds = Math.round((performance.now() - began) / 100) / 10;
    const shown = Object.entries(facts).map(([key, value]) => `${key} ${value}`);
    process.stdout.write(
      `  ${passed ? 'ok  ' : 'FAIL'} round ${round + 1}/${total} ${seconds} s  ${shown.join(', ')}\n`,
    );
    if (!passed) return false;
    state.rounds.push({ round, seconds, passed, facts });
    writeFileSync(stateFile, JSON.stringify(state));
  }
  const result = {
    case: name,
    claim: proof.claim,
    date: new Date().toISOString().slice(0, 10),
    commit,
    machine: { cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version },
    rounds: state.rounds,
  };
  writeFileSync(join(resultDirectory, `${result.date}-${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
  rmSync(stateFile, { force: true });
  return true;
}

/** What an earlier run of the same commit has done; rounds of another commit prove nothing about this one. */
function load(stateFile: string): State {
  try {
    const state = JSON.parse(readFileSync(stateFile, 'utf8')) as State;
    if (state.commit === commit) return state;
  } catch {
    // No state, or a torn one: start anew.
  }
  return { commit, rounds: [] };
}

function writeSummary(): void {
  const lines = [
    '# Proofs',
    '',
    'Made by `npm run proof`; each line is one dated run, its rounds are in the file.',
    '',
  ];
  lines.push('| date | case | claim | rounds | seconds | commit |', '|---|---|---|---|---|---|');
  for (const file of readdirSync(resultDirectory)
    .filter((entry) => entry.endsWith('.json'))
    .sort()) {
    const result = JSON.parse(readFileSync(join(resultDirectory, file), 'utf8')) as {
      case: string;
      claim: string;
      date: string;
      commit: string;
      rounds: Round[];
    };
    const seconds = result.rounds.reduce((sum, round) => sum + round.seconds, 0);
    lines.push(
      `| ${result.date} | [${result.case}](${file}) | ${result.claim} | ${result.rounds.length} | ${Math.round(seconds)} | ${result.commit} |`,
    );
  }
  writeFileSync(join(resultDirectory, 'README.md'), `${lines.join('\n')}\n`);
}
