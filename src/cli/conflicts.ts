/** `viaduct conflicts`: files that somebody else changed at the origin while changes of this host waited. */
import { Command } from 'commander';
import { systemClock } from '../base/mod.ts';
import { askProcesses } from '../control/mod.ts';
import { printJson, printLine } from './output.ts';
import { addChoiceOptions, type ChoiceFlags, chooseProcess, controlDirectory, fileHelp } from './process-choice.ts';
import { showTask } from './task-output.ts';
import { describeConflict } from './write-back-text.ts';

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
    .action(async (file: string, flags: ChoiceFlags & { json?: boolean }) => {
      const chosen = await chooseProcess(
        flags,
        file,
        (session) => (session.data?.writeBack?.conflicts.length ?? 0) > 0,
      );
      const view = { wait: true, json: flags.json === true, doneText: `${chosen.file} takes writes again` };
      await showTask(chosen, { task: 'clear-conflict', file: chosen.file ?? file }, view);
    });
  command.addCommand(addChoiceOptions(clear));
  return command;
}

async function list(json: boolean): Promise<void> {
  const answers = await askProcesses({ directory: controlDirectory(), clock: systemClock });
  const conflicts = answers.flatMap((answer) =>
    answer.kind === 'silent'
      ? []
      : answer.status.sessions.flatMap(({ data }) =>
          (data?.writeBack?.conflicts ?? []).map((conflict) => ({ pid: answer.status.pid, ...conflict })),
        ),
  );
  if (json) printJson({ conflicts });
  else if (conflicts.length === 0) printLine('no conflicts');
  else for (const conflict of conflicts) printLine(`pid ${conflict.pid}: ${describeConflict(conflict)}`);
}
