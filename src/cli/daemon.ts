/** `viaduct daemon`: many sessions in one process (daemon/run.ts). */
import { Command, Option } from 'commander';
import type { BegunDaemon } from './daemon/begin.ts';
import type { DaemonFlags } from './daemon/run.ts';
import { logLevels } from './logger.ts';
import { notEmpty } from './values.ts';

const help = `
Without --config it reads /etc/viaduct/viaduct.yaml (root) or ~/.config/viaduct/viaduct.yaml; if there is none, defaults hold.
\`viaduct config check\` says whether a file is right, docs/configuration.md what can be in it.

SIGHUP reads the file again: a file with errors changes nothing, and they are logged. SIGTERM and SIGINT end it: sessions are closed
within seconds, what the origin does not have stays in their logs, and the next daemon opens them again where they were. A second
signal ends it at once.

While it runs, \`viaduct serve\`, \`proxy\` and \`mount\` have their sessions made by it (--alone: not).

Examples:
  viaduct daemon
  viaduct daemon --config ./viaduct.yaml --json | head -1
  viaduct daemon --api 127.0.0.1:7446      # the API and its page over TCP, too: \`viaduct session page\` tells its address
  kill -HUP "$(viaduct status --json | jq '.processes[] | select(.command == "daemon") | .pid')"`;

/** The whole program, where it is known that this command is asked for. */
export function daemonProgram(begun: BegunDaemon): Command {
  return new Command('viaduct').addCommand(daemonCommand(begun));
}

export function daemonCommand(begun?: BegunDaemon): Command {
  return new Command('daemon')
    .summary('run many sessions in one process')
    .description(
      'Runs sessions for all applications of this user, by the policies of viaduct.yaml, until it is told to end.',
    )
    .option('--config <file>', 'the configuration (default: see below)', notEmpty)
    .option(
      '--state-directory <dir>',
      'where sessions are remembered (default: the configuration’s, else /var/lib/viaduct or ~/.local/state/viaduct)',
      notEmpty,
    )
    .option('--api <address>', 'listen for the API on this ADDR:PORT, too (default: the configuration’s, else nowhere)')
    .addOption(
      new Option('--log-level <level>', 'how much to log on stderr (default: the configuration’s)').choices(logLevels),
    )
    .option('--json', 'print the ready line and errors as JSON')
    .addHelpText('after', help)
    .action(async (flags: DaemonFlags) => {
      // Its libraries are many: other commands begin without them.
      const { runDaemon } = await import('./daemon/run.ts');
      await runDaemon(flags, begun);
    });
}
