/** `viaduct man [COMMAND]`: the manual pages, made from the definitions of the commands, by `man` where it is installed. */
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { Command } from 'commander';
import { nearestText, ViaductError } from '../base/mod.ts';
import { type CommandShape, describeCommand } from './command-shape.ts';
import { manualPage } from './man/page.ts';
import { packageVersion } from './session-command.ts';

const help = `
Examples:
  viaduct man                     # all commands
  viaduct man proxy
  viaduct man proxy --roff > viaduct-proxy.1

An installed package has them as viaduct(1), viaduct-proxy(1), ...`;

export function manCommand(program: () => Command): Command {
  return new Command('man')
    .summary('show the manual page of a command')
    .description('Shows the manual page of Viaduct, or of one of its commands.')
    .argument('[command...]', 'the command')
    .option('--roff', 'print its source')
    .addHelpText('after', help)
    .action((words: readonly string[], flags: { roff?: boolean }) => man(program(), words, flags.roff === true));
}

async function man(program: Command, words: readonly string[], isSource: boolean): Promise<void> {
  const shape = describeCommand(program);
  const about = pageFor(shape, words[0]);
  const date = statSync(new URL('../../package.json', import.meta.url))
    .mtime.toISOString()
    .slice(0, 10);
  const page = manualPage(about, { version: packageVersion(), date, program: shape });
  if (isSource) process.stdout.write(page);
  else if (!(await shownByMan(page))) {
    const own = program.commands.find((command) => command.name() === about.path[1]) ?? program;
    process.stdout.write(`${own.helpInformation()}\n${about.more}\n`);
  }
}

function pageFor(program: CommandShape, word: string | undefined): CommandShape {
  if (word === undefined) return program;
  const found = program.commands.find(({ path }) => path[1] === word);
  if (found !== undefined) return found;
  const names = program.commands.map(({ path }) => path[1]!);
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `there is no command "${word}"${nearestText(word, names)}.`,
    remedy: '`viaduct --help` shows them all.',
  });
}

/** False: there is no `man` here, or it cannot. */
function shownByMan(page: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('man', ['-l', '-'], { stdio: ['pipe', 'inherit', 'ignore'] });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
    // A pager that was left before its end.
    child.stdin.on('error', () => {});
    child.stdin.end(page);
  });
}
