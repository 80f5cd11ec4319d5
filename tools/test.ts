/**
 * `npm test`: the checks, the unit tests beside the sources, then the integration tests with real components. Usage:
 * `tools/test.ts [check|unit|integration]... [--limit-minutes N]`; without names all three, in this order.
 *
 * A phase that fails does not hide the next: all run, and the end tells which failed. One limit covers the whole run, so that
 * a test that hangs cannot: at the limit the running phase's processes get SIGTERM, then SIGKILL.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, globSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'limit-minutes': { type: 'string', default: '25' } },
});
const limitMs = Number(values['limit-minutes']) * 60_000;
/** One test may take this long unless it says otherwise; a phase's own limit is the whole run's. */
const testLimitMs = 180_000;
const graceMs = 5_000;
/**
 * Each test file is a process of its own, with workers of its own: what one has made of the sources is kept for the others, which
 * nearly halves what they compute (19 s to 11 s of processor time for src/sessions/working-sets.test.ts).
 */
const compiled = join(root, '.cache/compiled');

/** These boot guests on an emulated processor, which takes a whole real one: one of them at a time, beside those that mostly wait. */
const guests = ['daemon-restart', 'demo', 'kernel', 'qemu', 'write-back-guests'].map((name) => `test/${name}.test.ts`);

/** Each a list of Node's arguments, or several that run side by side. Fixed addresses are each file's own (test/support/namespace.ts). */
const phases = {
  check: () => [[join(root, 'tools/check.ts')]],
  unit: () => [
    nodeTest(filesOf('src/**/*.test.ts', 'tools/**/*.test.ts', 'bench/**/*.test.ts'), availableParallelism()),
  ],
  integration: () => {
    const others = filesOf('test/**/*.test.ts').filter((file) => !guests.includes(file));
    return [nodeTest(others, Math.min(2, availableParallelism())), nodeTest(filesOf(...guests), 1)];
  },
};
type Phase = keyof typeof phases;

function isPhase(name: string): name is Phase {
  return name in phases;
}

const unknown = positionals.filter((name) => !isPhase(name));
if (unknown.length > 0 || !(limitMs > 0)) {
  process.stderr.write(`usage: tools/test.ts [${Object.keys(phases).join('|')}]... [--limit-minutes N]\n`);
  process.exit(2);
}
const chosen: Phase[] = positionals.length > 0 ? positionals.filter(isPhase) : ['check', 'unit', 'integration'];

const start = performance.now();
const results: { phase: Phase; outcome: string; passed: boolean; seconds: number }[] = [];
for (const phase of chosen) {
  const began = performance.now();
  process.stdout.write(`\n=== ${phase}\n`);
  const leftMs = limitMs - (began - start);
  const outcomes = await Promise.all(phases[phase]().map((args, index) => run(args, leftMs, index === 0)));
  const outcome = outcomes.find((one) => one !== 'passed') ?? 'passed';
  results.push({ phase, outcome, passed: outcome === 'passed', seconds: (performance.now() - began) / 1000 });
}

const passed = results.every((result) => result.passed);
process.stdout.write('\n=== summary\n');
for (const { phase, outcome, seconds } of results) {
  process.stdout.write(`${phase.padEnd(12)} ${outcome.padEnd(24)} ${seconds.toFixed(1)} s\n`);
}
const total = (performance.now() - start) / 1000;
process.stdout.write(`${'all'.padEnd(12)} ${(passed ? 'passed' : 'FAILED').padEnd(24)} ${total.toFixed(1)} s\n`);
process.exitCode = passed ? 0 : 1;

function filesOf(...patterns: string[]): string[] {
  return patterns.flatMap((pattern) => globSync(pattern, { cwd: root })).sort();
}

function nodeTest(files: string[], concurrency: number): string[] {
  if (files.length === 0) return ['--eval', 'throw new Error("no test files found")'];
  return [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(root, 'tools/slowest-files.ts')}`,
    '--test-reporter-destination=stdout',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${testLimitMs}`,
    ...files,
  ];
}

/** Runs Node in a process group of its own, which is ended at the limit or with us. What one says that is not `live` comes at its end. */
function run(args: string[], leftMs: number, isLive: boolean): Promise<string> {
  if (leftMs <= 0) return Promise.resolve('FAILED: no time left');
  const env = { NODE_COMPILE_CACHE: compiled, ...process.env };
  return new Promise((resolve) => {
    // In a file: a pipe would stay open for as long as anything lives that a test has left behind.
    const folder = isLive ? undefined : mkdtempSync(join(tmpdir(), 'viaduct-said-'));
    const output = folder === undefined ? 'inherit' : openSync(join(folder, 'output'), 'w');
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', output, output], detached: true, env });
    if (typeof output === 'number') closeSync(output);
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      process.stdout.write(`\nthe limit of ${values['limit-minutes']} minutes is reached; ending this phase\n`);
      endGroup(child);
    }, leftMs);
    const forward = (): void => endGroup(child);
    process.once('SIGINT', forward);
    process.once('SIGTERM', forward);
    child.on('error', (error) => resolve(`FAILED: ${error.message}`));
    child.on('exit', (code, signal) => {
      clearTimeout(limit);
      process.removeListener('SIGINT', forward);
      process.removeListener('SIGTERM', forward);
      // What a test left running in the group ends with the phase.
      signalGroup(child, 'SIGKILL');
      if (folder !== undefined) {
        process.stdout.write(readFileSync(join(folder, 'output')));
        rmSync(folder, { recursive: true });
      }
      resolve(late ? 'FAILED: time limit' : code === 0 ? 'passed' : `FAILED (${signal ?? `exit code ${code}`})`);
    });
  });
}

function endGroup(child: ChildProcess): void {
  signalGroup(child, 'SIGTERM');
  setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs).unref();
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // The group is gone already.
  }
}
