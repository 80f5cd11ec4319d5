/** The completion script for fish: one line for each command, option and kind of argument, each with the command that it belongs to. */
import { type CommandShape, type ValueShape, withChildren } from '../command-shape.ts';
import { askedFor, shortText } from './candidates.ts';

export function fishCompletion(program: CommandShape): string {
  const shapes = withChildren(program);
  const valued = [
    ...new Set(
      shapes.flatMap(({ options }) => options.flatMap(({ names, value }) => (value === undefined ? [] : names))),
    ),
  ];
  return `# Completion of viaduct for fish, made by \`viaduct completion fish\`.
function __viaduct_names
  viaduct completion --names $argv[1] 2>/dev/null
end

# True if the command of the line is these words. Values of options are none of them.
function __viaduct_at
  set -l words
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
    else if contains -- $word ${valued.join(' ')}
      set skip 1
    else if not string match -q -- '-*' $word
      set -a words $word
    end
  end
  set -l depth (count $argv)
  test $depth = 0; and begin; test (count $words) = 0; return; end
  test (count $words) -ge $depth; and test "$words[1..$depth]" = "$argv"
end

# The same, and no command below it was named.
function __viaduct_before
  __viaduct_at $argv[2..-1]; or return
  for word in (string split ' ' -- $argv[1])
    contains -- $word (commandline -opc); and return 1
  end
  return 0
end

complete -c viaduct -f
${shapes.flatMap(linesOf).join('\n')}
`;
}

function linesOf(shape: CommandShape): string[] {
  const below = shape.path.slice(1);
  const condition =
    below.length === 0 && shape.commands.length > 0 ? '__viaduct_at' : `__viaduct_at ${below.join(' ')}`;
  const names = shape.commands.map(({ path }) => path.at(-1)!);
  const before = ['__viaduct_before', `"${names.join(' ')}"`, ...below].join(' ');
  const commands = shape.commands.map(
    ({ path, summary }) =>
      `complete -c viaduct -n ${fishQuoted(before)} -a ${fishQuoted(path.at(-1)!)} -d ${fishQuoted(shortText(summary))}`,
  );
  const options = shape.options.map(({ names: spelled, value, description }) => {
    const flags = spelled.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
    const takes = value === undefined ? '' : ` ${value.isRequired ? '-r' : ''} ${actionOf(value)}`.trimEnd();
    return `complete -c viaduct -n ${fishQuoted(condition)} ${flags.join(' ')}${takes} -d ${fishQuoted(shortText(description))}`;
  });
  const places = new Set(shape.commands.length > 0 ? [] : shape.arguments.map(actionOf));
  const values = [...places].filter((action) => action !== '-f');
  return [
    ...commands,
    ...options,
    ...values.map((action) => `complete -c viaduct -n ${fishQuoted(condition)} ${action}`),
  ];
}

/** `-F`: files after all. */
function actionOf(value: ValueShape): string {
  if (value.choices.length > 0) return `-f -a ${fishQuoted(value.choices.join(' '))}`;
  const asked = askedFor(value);
  if (asked !== undefined) return `-f -a '(__viaduct_names ${asked})'`;
  if (value.kind === 'file') return '-F';
  return value.kind === 'directory' ? '-f -a \'(__fish_complete_directories (commandline -ct) "")\'' : '-f';
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
