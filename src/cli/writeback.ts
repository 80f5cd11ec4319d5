/** `viaduct writeback [FILE]`: what waits on this host to the origin, now. */
import { Command } from 'commander';
import { ViaductError } from '../base/mod.ts';
import type { SessionTask } from '../sessions/mod.ts';
import { addChoiceOptions, type ChoiceFlags, chooseProcess, fileHelp } from './process-choice.ts';
import { showTask, timeoutOf } from './task-output.ts';

interface WritebackFlags extends ChoiceFlags {
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly json?: boolean;
  readonly invalidate?: boolean;
}

const help = `
${fileHelp}
All that was written before FILE's last change goes with it: the origin is never ahead of itself. Where the origin of the session is
another proxy that keeps changes, that one is told to bring them on, and it is done when the origin has them.

With --wait: exit code 0 when all of it is at the origin; 4: a conflict, or the origin refuses (nothing is lost); 5: another host took
the write lease; 6: not done within --timeout (it goes on). While the origin is away it waits. With --json: a line {"kind":"progress","progress":{...}} twice a second, at the
end {"kind":"result","result":{"outcome","problems"}}; without --wait one line {"kind":"started",...}.

Examples:
  viaduct writeback --wait                         # before this host is switched off
  viaduct writeback /golden/disk.raw --wait --timeout 10m
  viaduct writeback --wait --json --listen 127.0.0.3 | tail -1 | jq -r .result.outcome`;

export function writebackCommand(): Command {
  const command = new Command('writeback')
    .summary('bring what waits on this host to the origin, now')
    .description(
      'Has a session with --policy write-back bring everything that was written until now (or FILE) to the origin.',
    )
    .argument('[file]', 'only this file, and what must go before it')
    .option(
      '--wait',
      'return when it is there, with progress on a terminal (elsewhere a line when it begins, and when the origin is away)',
    )
    .option('--timeout <time>', 'with --wait: how long to wait (default: as long as it takes); what was begun goes on')
    .option('--invalidate', 'afterwards forget what is cached, so that the origin’s state is seen (as SIGUSR2 does)')
    .option('--json', 'print progress and the result as lines of JSON');
  return addChoiceOptions(command).addHelpText('after', help).action(writeback);
}

async function writeback(file: string | undefined, flags: WritebackFlags): Promise<void> {
  const timeoutMs = timeoutOf(flags);
  const chosen = await chooseProcess(flags, file, {
    what: 'has a session with --policy write-back, or with a proxy behind it that may keep changes',
    fits: (session) => session.writes === 'write-back' || session.data?.chain !== undefined,
  });
  const doneText = file === undefined ? 'everything is at the origin' : `${chosen.file} is at the origin`;
  const view = { wait: flags.wait === true, json: flags.json === true, timeoutMs, doneText };
  if (flags.invalidate === true && file !== undefined)
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: '--invalidate is about the whole session, not about one FILE.',
      remedy: 'Leave out FILE, or --invalidate.',
    });
  const task: SessionTask = flags.invalidate === true ? { task: 'flush' } : { task: 'write-back', file: chosen.file };
  process.exitCode = await showTask(chosen, task, view);
}
