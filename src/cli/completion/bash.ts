/**
 * The completion script for bash, which needs no bash-completion package.
 *
 *     words of the line, those that bash split at `=` and `:` put together again
 *       ──► which command (what is behind options that take values is skipped), which argument of it
 *       ──► options, commands, words, files or names that viaduct itself is asked for
 */
import { type CommandShape, type ValueShape, withChildren } from '../command-shape.ts';
import { askedFor, shellQuoted } from './candidates.ts';

export function bashCompletion(program: CommandShape): string {
  const shapes = withChildren(program);
  return `# Completion of viaduct for bash, made by \`viaduct completion bash\`.
${commandTable(shapes)}
${valueTable(shapes)}
${walker}
complete -F _viaduct viaduct
`;
}

/** For each command: its commands, options, those that take a value, and what its arguments are; the last repeats after `...`. */
function commandTable(shapes: readonly CommandShape[]): string {
  const cases = shapes.map((shape) => {
    const commands = shape.commands.map(({ path }) => path.at(-1)).join(' ');
    const options = shape.options.flatMap(({ names }) => names);
    const valued = shape.options.flatMap(({ names, value }) => (value === undefined ? [] : names));
    const places = shape.arguments.map(sourceOf);
    if (shape.arguments.at(-1)?.isVariadic === true) places.push('...');
    return `    ${shellQuoted(shape.path.join(' '))})
      commands=${shellQuoted(commands)}
      options=${shellQuoted(options.join(' '))}
      valued=${shellQuoted(` ${valued.join(' ')} `)}
      places=(${places.map(shellQuoted).join(' ')})
      ;;`;
  });
  return `_viaduct_command() {
  case $1 in
${cases.join('\n')}
  esac
}`;
}

function valueTable(shapes: readonly CommandShape[]): string {
  const cases = shapes.flatMap(({ path, options }) =>
    options.flatMap(({ names, value }) => {
      if (value === undefined || sourceOf(value) === '') return [];
      const patterns = names.map((name) => shellQuoted(`${path.join(' ')} ${name}`)).join(' | ');
      return [`    ${patterns}) source=${shellQuoted(sourceOf(value))} ;;`];
    }),
  );
  return `_viaduct_value() {
  case $1 in
${cases.join('\n')}
  esac
}`;
}

/** Empty: nothing is known of it. */
function sourceOf(value: ValueShape): string {
  if (value.choices.length > 0) return `words ${value.choices.join(' ')}`;
  const asked = askedFor(value);
  if (asked !== undefined) return `names ${asked}`;
  if (value.kind === 'file') return 'files';
  if (value.kind === 'directory') return 'directories';
  return value.kind === 'command' ? 'commands' : '';
}

const walker = `_viaduct() {
  local program=$1 rest=$COMP_LINE word glue=1 place=-1 i
  local -a words=()
  # Bash splits words at = and :. What has no space before it belongs to the word before.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $rest == [[:space:]]* || $glue == 1 ]]; then
      rest=\${rest#"\${rest%%[![:space:]]*}"}
      words+=("$word")
      glue=0
    else
      words[\${#words[@]} - 1]+=$word
    fi
    rest=\${rest#"$word"}
  done
  local current=\${words[\${#words[@]} - 1]} last=\${COMP_WORDS[COMP_CWORD]}
  [[ $last == [=:] ]] && last=
  local glued=\${current%"$last"}

  local path=viaduct commands options valued source= only= previous=
  local -a places
  _viaduct_command "$path"
  for ((i = 1; i < \${#words[@]} - 1; i++)); do
    word=\${words[i]}
    if [[ -n $previous ]]; then
      previous=
    elif [[ $word == -- && -z $only ]]; then
      only=arguments
    elif [[ -z $only && $word == -* ]]; then
      [[ $valued == *" $word "* ]] && previous=$word
    elif [[ -n $commands && $place == -1 && " $commands " == *" $word "* ]]; then
      path+=" $word"
      _viaduct_command "$path"
    else
      ((place++))
    fi
  done

  if [[ -n $previous ]]; then
    _viaduct_value "$path $previous"
  elif [[ -z $only && $current == --*=* ]]; then
    _viaduct_value "$path \${current%%=*}"
    current=\${current#*=}
    glued=\${glued#*=}
  elif [[ -z $only && $current == -* ]]; then
    source="words $options"
  elif [[ -n $commands && $place == -1 ]]; then
    source="words $commands"
  else
    ((place++))
    ((place >= \${#places[@]} - 1)) && [[ \${places[\${#places[@]} - 1]} == ... ]] && place=$((\${#places[@]} - 2))
    source=\${places[place]}
  fi

  case $source in
    commands)
      _viaduct_command viaduct
      source="words $commands"
      ;;
    names\\ *)
      source="words $(command "$program" completion --names "\${source#names }" 2>/dev/null)"
      ;;
  esac
  COMPREPLY=()
  case $source in
    words\\ *) mapfile -t COMPREPLY < <(compgen -W "\${source#words }" -- "$current") ;;
    files)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      ;;
    directories)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      ;;
  esac
  # Readline replaces only what is behind the last = or :.
  [[ -n $glued ]] && COMPREPLY=("\${COMPREPLY[@]#"$glued"}")
}`;
