/** `viaduct conflicts`: files that somebody else changed at the origin while changes of this host waited. */
import { Command } from 'commander';
import { systemClock, ViaductError } from '../base/mod.ts';
import { askProcesses, type EndedSession, endedSessions, mayKeepChanges, type StatusAnswer } from '../control/mod.ts';
import type { ConflictStatus } from '../sessions/mod.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import {
  addChoiceOptions,
  type ChoiceFlags,
  chooseProcess,
  controlDirectory,
  fileHelp,
  isOneOfSeveral,
  silentText,
} from './process-choice.ts';
import { openLogIndex, quoted } from './session-end.ts';
import { showTask } from './task-output.ts';
import { clearable, describeConflict, describeUnnamed, keepsChanges } from './write-back-text.ts';

const help = `
Nothing was overwritten: the origin's version keeps its name, this host's version is kept under the name that is shown. Until the
conflict is cleared the file takes no writes through its session.

Examples:
  viaduct conflicts
  viaduct conflicts clear /golden/disk.raw      # after looking at both versions`;

export function conflictsCommand(): Command {
  const command = new Command('conflicts')
    .summary('list files in conflict, or let one take writes again')
    .description('Lists the files that were changed at the origin by somebody else while changes of this host waited.')
    .option('--json', 'print as JSON')
    .addHelpText('after', help)
    .action((flags: { json?: boolean }) => list(flags.json === true));
  const clear = new Command('clear')
    .description('let the file take writes again; neither version is touched')
    .argument('<file>', 'the file in conflict')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', `\n${fileHelp}\n\nExamples:\n  viaduct conflicts clear /golden/disk.raw`)
    .action(async (file: string, flags: ChoiceFlags) => {
      const choosing = chooseProcess(flags, file, {
        what: 'has a file in conflict',
        fits: (session) => (session.data?.writeBack?.conflicts.length ?? 0) > 0,
      });
      const chosen = await choosing.catch(async (error: unknown) => {
        throw endedHas(error, await endedNow()) ?? error;
      });
      // The command above has an option of that name, too, and takes it.
      const json = clear.optsWithGlobals<{ json?: boolean }>().json === true;
      const view = { wait: true, json, doneText: `${chosen.file} takes writes again` };
      process.exitCode = await showTask(chosen, { task: 'clear-conflict', file: chosen.file ?? file }, view);
    });
  command.addCommand(addChoiceOptions(clear));
  return command;
}

async function endedNow(): Promise<EndedSession[]> {
  const answers = await askProcesses({ directory: controlDirectory(), clock: systemClock });
  return endedSessions(openLogIndex(), answers, systemClock);
}

/** No session that runs is meant, and one that has ended has a conflict: only while it runs can it be cleared. */
export function endedHas(error: unknown, ended: readonly EndedSession[]): ViaductError | undefined {
  if (!(error instanceof ViaductError) || error.code !== 'SESSION_NOT_FOUND' || isOneOfSeveral(error)) return undefined;
  const found = ended.filter(({ conflicts, unnamedConflicts }) => conflicts.length + unnamedConflicts > 0);
  if (found.length === 0) return undefined;
  const logs = found.map(({ directory }) => directory).join(', ');
  const starts = found.flatMap(({ restart }) => (restart === '' ? [] : [restart])).join('; or: ');
  return new ViaductError('SESSION_NOT_FOUND', {
    cause: `${error.message} A session that has ended has one, in its dirty log (${logs}).`,
    remedy: `A conflict is cleared through the session, so start it again${starts === '' ? '' : `: ${starts}`}; then repeat this command.`,
    from: error,
  });
}

async function list(json: boolean): Promise<void> {
  const answers = await askProcesses({ directory: controlDirectory(), clock: systemClock });
  const conflicts = answers.flatMap((answer) =>
    answer.kind === 'silent'
      ? []
      : answer.status.sessions.flatMap(({ id, name, data }) =>
          (data?.writeBack?.conflicts ?? []).map((conflict) => ({
            ...{ pid: answer.status.pid, id, session: name },
            ...conflict,
          })),
        ),
  );
  const sessions = await endedSessions(openLogIndex(), answers, systemClock);
  const ended = sessions.flatMap(({ directory, restart, conflicts: left }) =>
    left.map((conflict) => ({ endedSession: directory, restart, ...conflict })),
  );
  const unnamed = sessions.filter((session) => session.unnamedConflicts > 0);
  const silent = silentAmong(answers);
  const unread = sessions.flatMap(({ directory, problem }) => (problem === undefined ? [] : [{ directory, problem }]));
  if (json) {
    const counts = unnamed.map(({ directory, restart, unnamedConflicts: count }) => ({
      ...{ endedSession: directory, restart, count },
    }));
    printJson({ conflicts: [...conflicts, ...ended], unnamed: counts, silent, unread });
  } else {
    if (conflicts.length + ended.length + unnamed.length + silent.length + unread.length === 0)
      printLine('no conflicts');
    for (const { pid, id, session, ...conflict } of conflicts) {
      const who = session === undefined ? `pid ${pid}` : `session ${session}`;
      const choice = id === undefined ? `--pid ${pid}` : `--session ${quoted(session ?? id)}`;
      printLine(`${who}: ${describeConflict(conflict)}. ${describeClearing(conflict, choice)}`);
    }
    for (const { endedSession, restart, ...conflict } of ended)
      printLine(
        `ended session, log ${endedSession}: ${describeConflict(conflict)}. ${describeClearing(conflict, undefined, restart)}`,
      );
    for (const session of unnamed) printLine(`ended session: ${describeUnnamed(session)}`);
    for (const one of silent) process.stderr.write(`viaduct: ${silentText(one)}: its conflicts are not known\n`);
    for (const { directory, problem } of unread)
      process.stderr.write(`viaduct: ended session, log ${directory}: its conflicts are not known: ${problem}\n`);
  }
  if (silent.length + unread.length > 0) process.exitCode = exitCodes.failed;
}

/** Only a session that runs can clear one: it has the log. `choice`: the option that names it. */
export function describeClearing(
  conflict: Pick<ConflictStatus, 'path' | 'handle'>,
  choice: string | undefined,
  restart = '',
): string {
  const command = `viaduct conflicts clear ${quoted(clearable(conflict))}`;
  if (choice !== undefined) return `To clear it: ${command} ${choice}`;
  const start = restart === '' ? 'the session that has the log' : `the session (${restart})`;
  return `To clear it, start ${start}, then: ${command}`;
}

/** Processes that said nothing, or whose session with a dirty log did not. */
function silentAmong(answers: readonly StatusAnswer[]): { readonly pid: number; readonly reason: string }[] {
  return answers.flatMap((answer) => {
    if (answer.kind === 'silent') return mayKeepChanges(answer) ? [{ pid: answer.pid, reason: answer.reason }] : [];
    const { pid, sessions } = answer.status;
    const dumb = sessions.find((session) => keepsChanges(session) && session.data?.writeBack === undefined);
    return dumb === undefined ? [] : [{ pid, reason: `its session is ${dumb.state} and says nothing` }];
  });
}
