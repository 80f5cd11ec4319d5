/**
 * The commands as plain data, read from commander's definitions: what completion scripts and manual pages are made of.
 *
 *     Command (program.ts) ──describeCommand──► CommandShape ──► completion/*.ts, man/page.ts
 *
 * What a value is, is read from its name in the definition: `<directory>`, `<file>`, `<session>`, ...; kinds below are all there are.
 */
import type { EventEmitter } from 'node:events';
import type { Argument, Command, Option } from 'commander';

/** What stands for a value: one of some words, a file, a directory, a name that the daemon or the configuration knows, or anything. */
export type ValueKind = 'file' | 'directory' | 'session' | 'policy' | 'command' | 'any';

export interface ValueShape {
  readonly name: string;
  readonly kind: ValueKind;
  /** If only these are allowed. */
  readonly choices: readonly string[];
  readonly isRequired: boolean;
  /** May be given several times, each behind the other. */
  readonly isVariadic: boolean;
}

export interface ArgumentShape extends ValueShape {
  readonly description: string;
}

export interface OptionShape {
  /** As the help has it: `-o, --options <options>`. */
  readonly flags: string;
  /** `-o`, `--options`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: ValueShape | undefined;
  /** As the help shows it. */
  readonly defaultText: string | undefined;
}

export interface CommandShape {
  /** `viaduct`, `session`, `create`. */
  readonly path: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly arguments: readonly ArgumentShape[];
  readonly options: readonly OptionShape[];
  readonly commands: readonly CommandShape[];
  /** What stands below the options in its help: explanations and examples. */
  readonly more: string;
}

const kinds: Readonly<Record<string, ValueKind>> = {
  directory: 'directory',
  dir: 'directory',
  folder: 'directory',
  origin: 'directory',
  mountpoint: 'directory',
  target: 'directory',
  'state-directory': 'directory',
  file: 'file',
  path: 'file',
  session: 'session',
  policy: 'policy',
  command: 'command',
};

export function describeCommand(command: Command, above: readonly string[] = []): CommandShape {
  const path = [...above, command.name()];
  const help = command.createHelp();
  return {
    path,
    summary: command.summary() || command.description(),
    description: command.description(),
    arguments: command.registeredArguments.map(describeArgument),
    options: help.visibleOptions(command).map(describeOption),
    commands: help
      .visibleCommands(command)
      .filter((child) => child.name() !== 'help')
      .map((child) => describeCommand(child, path)),
    more: moreOf(command),
  };
}

/** All of them, the command itself first. */
export function withChildren(shape: CommandShape): CommandShape[] {
  return [shape, ...shape.commands.flatMap(withChildren)];
}

function describeArgument(argument: Argument): ArgumentShape {
  const name = argument.name();
  return {
    name,
    kind: kinds[name] ?? 'any',
    choices: argument.argChoices ?? [],
    isRequired: argument.required,
    isVariadic: argument.variadic,
    description: argument.description,
  };
}

function describeOption(option: Option): OptionShape {
  const name = /[<[]([^\]>.]+)(?:\.\.\.)?[\]>]/.exec(option.flags)?.[1];
  const names = [option.short, option.long].filter((text) => text !== undefined && text !== null);
  const { defaultValue, defaultValueDescription } = option;
  const isShown = defaultValue !== undefined && typeof defaultValue !== 'boolean' && String(defaultValue) !== '';
  return {
    flags: option.flags,
    names,
    description: option.description,
    value:
      name === undefined
        ? undefined
        : {
            name,
            kind: kinds[name] ?? 'any',
            choices: option.argChoices ?? [],
            isRequired: option.required,
            isVariadic: option.variadic,
          },
    defaultText: isShown ? (defaultValueDescription ?? String(defaultValue)) : undefined,
  };
}

/** Commander keeps texts that were added as listeners, which write them. */
function moreOf(command: Command): string {
  const texts: string[] = [];
  // Commands are event emitters, which their types leave out.
  const emitter = command as Command & Pick<EventEmitter, 'emit'>;
  emitter.emit('afterHelp', { error: false, command, write: (text: string) => void texts.push(text) });
  return texts.join('\n').trim();
}
