/**
 * `npm run bench`: runs the cases, each in a process and a private network of its own, keeps the raw results under
 * bench/results and makes the report from them.
 *
 *   npm run bench -- [--case NAME ...] [--pairs N] [--quick]
 *
 * `--quick` shows that the bench works; its results are not kept.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { enterPrivateNetwork } from '../test/support/namespace.ts';
import { run, scratchFolder } from '../test/support/programs.ts';
import { type BenchCase, type CaseResult, median, pairRatios } from './case.ts';
import { bootCase } from './cases/boot.ts';
import { content } from './cases/content.ts';
import { contentBoot } from './cases/content-boot.ts';
import { contentLatency } from './cases/content-latency.ts';
import { contentPack } from './cases/content-pack.ts';
import { firstTouch } from './cases/first-touch.ts';
import { largeCache } from './cases/large-cache.ts';
import { sessions } from './cases/sessions.ts';
import { sessionsReads } from './cases/sessions-reads.ts';
import { sessionsRestart } from './cases/sessions-restart.ts';
import { warmReads } from './cases/warm-reads.ts';
import { writeBack } from './cases/write-back.ts';
import { writes } from './cases/writes.ts';
import { writeReport } from './report.ts';

const cases: readonly BenchCase[] = [
  warmReads,
  bootCase,
  firstTouch,
  largeCache,
  writes,
  writeBack,
  content,
  contentBoot,
  contentPack,
  contentLatency,
  sessions,
  sessionsReads,
  sessionsRestart,
];
const resultsFolder = join(import.meta.dirname, 'results');

interface Flags {
  readonly case?: string[];
  readonly pairs: string;
  readonly quick?: boolean;
  readonly inside?: boolean;
}

const flags = new Command('bench')
  .option('--case <names...>', `only these: ${cases.map(({ name }) => name).join(', ')}`)
  .option('--pairs <number>', 'pairs of subject and baseline', '5')
  .option('--quick', 'two pairs of small runs; results are not kept')
  .option('--inside', 'run one case in this process (used by bench itself)')
  .parse()
  .opts<Flags>();

/** `content` means `content-boot` too. */
const means = (wanted: string, name: string): boolean => name === wanted || name.startsWith(`${wanted}-`);
const unknown = flags.case?.find((wanted) => !cases.some(({ name }) => means(wanted, name)));
if (unknown !== undefined) {
  console.error(`bench: there is no case ${unknown}; there are ${cases.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const chosen = cases.filter(({ name }) => flags.case?.some((wanted) => means(wanted, name)) ?? true);
if (flags.inside === true) await runInside(chosen[0]!);
else await runAll();

async function runAll(): Promise<void> {
  let failed = 0;
  for (const { name } of chosen) {
    const args = [import.meta.filename, '--inside', '--case', name, '--pairs', flags.pairs];
    if (flags.quick === true) args.push('--quick');
    const inner = spawnSync(process.execPath, [...process.execArgv, ...args], { stdio: 'inherit' });
    if (inner.status !== 0) failed++;
  }
  if (flags.quick !== true) await writeReport(resultsFolder);
  process.exitCode = failed === 0 ? 0 : 1;
}

async function runInside(benchCase: BenchCase): Promise<void> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => abort.abort(new Error(signal)));
  await benchCase.prepare?.(abort.signal);
  enterPrivateNetwork(import.meta.filename);
  const scratch = await scratchFolder('bench');
  const quick = flags.quick === true;
  console.log(`${benchCase.title}${quick ? ' (quick)' : ''}`);
  try {
    const running = benchCase.run({
      pairs: quick ? 2 : Number(flags.pairs),
      quick,
      scratch: scratch.path,
      signal: abort.signal,
      say: (text) => console.log(`  ${text}`),
    });
    const figures = await Promise.race([running, limitOf(benchCase)]);
    for (const figure of figures) {
      const [subject, baseline] = [median(figure.subject), median(figure.baseline)];
      const ratio = median(pairRatios(figure)).toFixed(2);
      const both = `${subject.toPrecision(4)} against ${baseline.toPrecision(4)} ${figure.unit}`;
      console.log(`${figure.name}: ${both} (${figure.baselineName}), ratio ${ratio}`);
    }
    if (quick) return;
    const date = new Date().toISOString().slice(0, 10);
    const { name, title } = benchCase;
    const result: CaseResult = { case: name, title, date, quick, machine: await describeMachine(), figures };
    await mkdir(resultsFolder, { recursive: true });
    await writeFile(join(resultsFolder, `${date}-${name}.json`), `${JSON.stringify(result, null, 1)}\n`);
  } finally {
    await scratch.remove();
  }
}

/** What it started ends with this process: they have a process namespace of their own. */
function limitOf({ name, limitMinutes = 120 }: BenchCase): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => reject(new Error(`${name} was not done after ${limitMinutes} minutes`));
    setTimeout(end, limitMinutes * 60_000).unref();
  });
}

/** What the figures depend on; no names of hosts or people. */
async function describeMachine(): Promise<Readonly<Record<string, string | number>>> {
  const version = async (program: string): Promise<string> =>
    /(\d+\.\d+(\.\d+)?)/.exec((await run(program, ['--version'])).toString())?.[1] ?? 'unknown';
  return {
    cores: os.cpus().length,
    processor: os.cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release().split('-')[0]!,
    node: process.version,
    qemu: await version('qemu-img'),
  };
}
