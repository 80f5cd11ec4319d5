/** The completion script for zsh: one function a command, which says to `_arguments` what it takes. */
import {
  type ArgumentShape,
  type CommandShape,
  type OptionShape,
  type ValueShape,
  withChildren,
} from '../command-shape.ts';
import { askedFor, functionName, shellQuoted, shortText } from './candidates.ts';

export function zshCompletion(program: CommandShape): string {
  return `#compdef viaduct
# Completion of viaduct for zsh, made by \`viaduct completion zsh\`.
_viaduct_names() {
  local -a names
  names=(\${(f)"$(_call_program names viaduct completion --names $1 2>/dev/null)"})
  compadd -a names
}
${withChildren(program).map(functionOf).join('\n')}
# From $fpath it is called at once; from a file that is read it is only made known.
if [[ $funcstack[1] == _viaduct ]]; then
  _viaduct "$@"
else
  compdef _viaduct viaduct
fi
`;
}

function functionOf(shape: CommandShape): string {
  const specifications = shape.options.map(optionOf);
  if (shape.commands.length > 0) specifications.push(`'1:command:->command'`, `'*::argument:->argument'`);
  else specifications.push(...shape.arguments.map(argumentOf));
  const lines = specifications.map((specification) => `    ${specification}`).join(' \\\n');
  return `${functionName(shape)}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C -s -S \\
${lines}${shape.commands.length > 0 ? `\n${choiceOf(shape)}` : ''}
}`;
}

function choiceOf({ commands }: CommandShape): string {
  const names = commands.map(({ path, summary }) => {
    return `      ${shellQuoted(`${path.at(-1)!}:${shortText(summary).replaceAll(':', '\\:')}`)}`;
  });
  const cases = commands.map((child) => `      ${child.path.at(-1)!}) ${functionName(child)} ;;`);
  return `  case $state in
    command)
      local -a commands
      commands=(
${names.join('\n')}
      )
      _describe command commands
      ;;
    argument)
      case $line[1] in
${cases.join('\n')}
      esac
      ;;
  esac`;
}

function optionOf({ names, value, description }: OptionShape): string {
  const text = `[${shortText(description).replaceAll(/[[\]\\]/g, '\\$&')}]`;
  const behind = value === undefined ? '' : `:${value.name}:${actionOf(value)}`;
  const spell = (name: string): string =>
    value === undefined ? name : name.startsWith('--') ? `${name}=` : `${name}+`;
  if (names.length === 1) return shellQuoted(`${spell(names[0]!)}${text}${behind}`);
  return `${shellQuoted(`(${names.join(' ')})`)}{${names.map(spell).join(',')}}${shellQuoted(`${text}${behind}`)}`;
}

function argumentOf(argument: ArgumentShape): string {
  const { name, isVariadic, isRequired } = argument;
  return shellQuoted(`${isVariadic ? '*' : ''}${isVariadic || isRequired ? ':' : '::'}${name}:${actionOf(argument)}`);
}

function actionOf(value: ValueShape): string {
  if (value.choices.length > 0) return `(${value.choices.join(' ')})`;
  const asked = askedFor(value);
  if (asked !== undefined) return `{_viaduct_names ${asked}}`;
  if (value.kind === 'file') return '_files';
  return value.kind === 'directory' ? '_files -/' : ' ';
}
