/** `viaduct redirect commit|discard`: what becomes of the changes of a redirect session. */
import { Command } from 'commander';
import type { SessionTask } from '../sessions/mod.ts';
import { addChoiceOptions, type ChoiceFlags, chooseProcess } from './process-choice.ts';
import { explainHeld } from './session-end.ts';
import { showTask, timeoutOf } from './task-output.ts';

interface RedirectFlags extends ChoiceFlags {
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly json?: boolean;
  readonly takeOver?: boolean;
}

const help = `
Examples:
  viaduct redirect commit --wait      # the origin gets what the session wrote; exit codes as \`viaduct writeback\`
  viaduct redirect discard            # the session shows the origin's files again; let no guest use them then

Conflicts of an earlier commit stay until \`viaduct conflicts clear FILE\`, also after a discard.`;

export function redirectCommand(): Command {
  const command = new Command('redirect')
    .summary('commit or discard the changes of a redirect session')
    .description('Says what becomes of the changes of a session with --policy redirect.')
    .addHelpText('after', help);
  const commit = new Command('commit')
    .description('bring them to the origin, in order')
    .option('--wait', 'return when they are there, with progress on a terminal')
    .option('--timeout <time>', 'with --wait: how long to wait (default: as long as it takes); what was begun goes on')
    .option(
      '--take-over',
      'take the write lease from the session that holds it: its clients can write no more, what it has not written back stays with it',
    );
  const discard = new Command('discard').description('forget them');
  for (const [child, doneText] of [
    [commit, 'the changes are at the origin'],
    [discard, 'the changes are forgotten'],
  ] as const) {
    addChoiceOptions(child)
      .option('--json', 'print progress and the result as lines of JSON')
      .addHelpText('after', help)
      .action(async (flags: RedirectFlags) => {
        const timeoutMs = timeoutOf(flags);
        const chosen = await chooseProcess(flags, undefined, {
          what: 'has a session with --policy redirect',
          fits: (session) => session.writes === 'redirect',
        });
        const wait = child === discard || flags.wait === true;
        const task: SessionTask =
          child === discard
            ? { task: 'redirect', how: 'discard' }
            : { task: 'redirect', how: 'commit', takeOver: flags.takeOver };
        const showing = showTask(chosen, task, { wait, json: flags.json === true, timeoutMs, doneText });
        process.exitCode = await showing.catch((error: unknown) => {
          throw explainHeld(error, chosen.session.origin);
        });
      });
    command.addCommand(child);
  }
  return command;
}
