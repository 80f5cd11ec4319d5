/** `viaduct warm PATH...`: files, or their working sets, into the cache of a running session, before anybody asks for them. */
import { Command } from 'commander';
import { exitCodes, reportError } from './output.ts';
import { addChoiceOptions, type ChoiceFlags, chooseProcess } from './process-choice.ts';
import { showTask, type TaskView, timeoutOf } from './task-output.ts';

interface WarmFlags extends ChoiceFlags {
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly json?: boolean;
  readonly workingSet?: boolean;
}

const help = `
PATH is a path inside the export (/golden/disk.raw), the nfs:// URL of a session, or a path below a mount made by \`viaduct mount\`.
What is here already is not fetched again, so a warm that was cut short is gone on with by the same command. Readers go first;
--fetch-rate of the session holds. The session reads in the name of its own user.

With --wait: exit code 0 when all of it was fetched; 1: some of it could not be; 2: there is no such file, the cache is too small for it,
or no working set is known; 6: not done within --timeout (it goes on). Of several files each is tried, and the worst exit code counts: 1,
then 2, then 6. With --json: lines as those of \`viaduct writeback --json\`, each with the "file" that it is about.

Examples:
  viaduct warm /golden/disk.raw --working-set --wait    # what a boot will want
  viaduct warm /golden/vm1.raw /golden/vm2.raw          # all of them, in the background`;

export function warmCommand(): Command {
  const command = new Command('warm')
    .summary('fetch files into the cache before they are used')
    .description(
      'Has a running proxy or mount with a cache fetch whole files, or their working sets, in the background.',
    )
    .argument('<path...>', 'files to fetch')
    .option('--working-set', 'only what is known to be used of them')
    .option('--wait', 'return when all of it is here, with progress on a terminal')
    .option('--timeout <time>', 'with --wait: how long to wait for each file (default: as long as it takes)')
    .option('--json', 'print progress and results as lines of JSON');
  return addChoiceOptions(command).addHelpText('after', help).action(warm);
}

/** One after the other: each file is to be here as soon as possible, not all of them late. One that fails does not keep the others. */
async function warm(paths: readonly string[], flags: WarmFlags): Promise<void> {
  const timeoutMs = timeoutOf(flags);
  const json = flags.json === true;
  const codes: number[] = [];
  for (const path of paths) {
    try {
      codes.push(await warmOne(path, flags, { wait: flags.wait === true, json, timeoutMs, file: path }));
    } catch (error) {
      codes.push(reportError(error, json, paths.length > 1 || json ? path : undefined));
    }
    // A signal is for all of them.
    if (codes.at(-1)! > 128) break;
  }
  process.exitCode = worstOf(codes);
}

async function warmOne(path: string, flags: WarmFlags, view: Omit<TaskView, 'doneText'>): Promise<number> {
  const what = flags.workingSet === true ? 'working-set' : 'whole';
  const chosen = await chooseProcess(flags, path, {
    what: 'has a session with a cache',
    fits: (session) => session.kind === 'proxy' && session.cache !== undefined,
  });
  const file = chosen.file ?? path;
  const doneText = what === 'whole' ? `all of ${file} was fetched` : `the working set of ${file} was fetched`;
  return showTask(chosen, { task: 'warm', file, what }, { ...view, doneText });
}

const mildestFirst: readonly number[] = [exitCodes.done, exitCodes.timedOut, exitCodes.usage, exitCodes.failed];

/** Those that are not in the list are worse than all that are. */
export function worstOf(codes: readonly number[]): number {
  const rank = (code: number): number => (mildestFirst.includes(code) ? mildestFirst.indexOf(code) : 100 + code);
  return codes.toSorted((a, b) => rank(a) - rank(b)).at(-1) ?? exitCodes.done;
}
