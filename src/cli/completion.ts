/**
 * `viaduct completion bash|zsh|fish`: a script for the shell, made from the definitions of the commands. What only a running daemon or the
 * configuration knows (names of sessions and policies) the scripts ask by `--names`, which is quick, or says nothing.
 */
import { Argument, Command, Option } from 'commander';
import { ViaductError } from '../base/mod.ts';
import { describeCommand } from './command-shape.ts';
import { bashCompletion } from './completion/bash.ts';
import { fishCompletion } from './completion/fish.ts';
import { knownNames, nameKinds } from './completion/names.ts';
import { zshCompletion } from './completion/zsh.ts';
import { printLine } from './output.ts';

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;
type Shell = keyof typeof shells;

const help = `
Examples:
  source <(viaduct completion bash)                                                # in this shell
  viaduct completion bash > /etc/bash_completion.d/viaduct                         # for everybody, from the next shell on
  viaduct completion zsh > /usr/local/share/zsh/site-functions/_viaduct
  viaduct completion fish > ~/.config/fish/completions/viaduct.fish`;

export function completionCommand(program: () => Command): Command {
  return new Command('completion')
    .summary('print a completion script for a shell')
    .description('Prints a script that completes commands, options, values, files and names of sessions.')
    .addArgument(new Argument('[shell]', 'which shell').choices(Object.keys(shells)))
    .addOption(
      new Option('--names <kind>', 'print the names of this kind that are known').choices(nameKinds).hideHelp(),
    )
    .addHelpText('after', help)
    .action(async (shell: Shell | undefined, { names }: { names?: (typeof nameKinds)[number] }) => {
      if (names !== undefined) {
        for (const name of await knownNames(names)) printLine(name);
        return;
      }
      if (shell === undefined) {
        throw new ViaductError('CONFIGURATION_INVALID', {
          cause: 'which shell is not said.',
          remedy: `Name one of ${Object.keys(shells).join(', ')}: \`viaduct completion bash\`.`,
        });
      }
      process.stdout.write(shells[shell](describeCommand(program())));
    });
}
