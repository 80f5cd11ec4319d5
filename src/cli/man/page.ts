/**
 * A manual page in roff (man(7) macros) of a command and those below it, from their definitions and help texts.
 *
 *     CommandShape ──► NAME, SYNOPSIS, DESCRIPTION, OPTIONS, (each command below it), EXAMPLES, EXIT STATUS, FILES, SEE ALSO
 *
 * Help texts are plain: paragraphs, `Examples:` with indented lines, and tables of indented lines, which stay as they are.
 */
import type { ArgumentShape, CommandShape, OptionShape } from '../command-shape.ts';
import { exitCodeRows } from '../exit-codes.ts';

export interface PageOptions {
  readonly version: string;
  /** YYYY-MM-DD. */
  readonly date: string;
  /** The whole program: what there is to see also. */
  readonly program: CommandShape;
}

/** `viaduct-proxy`. */
export function pageName({ path }: CommandShape): string {
  return path.slice(0, 2).join('-');
}

export function manualPage(shape: CommandShape, { version, date, program }: PageOptions): string {
  const name = pageName(shape);
  const { paragraphs, examples } = partsOf(shape.more);
  const isProgram = shape.path.length === 1;
  const lines = [
    `.\\" Made by tools/man.ts from the definitions of the commands.`,
    `.TH ${name.toUpperCase()} 1 ${date} "Viaduct ${version}" "Viaduct Manual"`,
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(plainEnd(isProgram ? shape.description : shape.summary))}`,
    '.SH SYNOPSIS',
    ...synopses(shape),
    '.SH DESCRIPTION',
    ...paragraph(shape.description),
    ...paragraphs.flatMap(textBlock),
    ...argumentsAndOptions(shape, '.SH'),
    ...(isProgram ? listOfCommands(shape) : shape.commands.flatMap(section)),
    ...(examples.length > 0 ? ['.SH EXAMPLES', ...verbatim(examples)] : []),
    '.SH EXIT STATUS',
    ...exitCodeRows.flatMap(({ code, text }) => ['.TP', `.B ${escaped(code)}`, escaped(text)]),
    ...(isProgram ? files : []),
    '.SH SEE ALSO',
    seeAlso(name, program),
  ];
  return `${lines.join('\n')}\n`;
}

const files = [
  '.SH FILES',
  ...[
    [
      '/etc/viaduct/viaduct.yaml, ~/.config/viaduct/viaduct.yaml',
      'The configuration of the daemon, of root and of other users.',
    ],
    [
      '/var/lib/viaduct, ~/.local/state/viaduct',
      'What must survive: handles, replies, dirty logs, the daemon’s sessions.',
    ],
    ['/run/viaduct, $XDG_RUNTIME_DIR/viaduct', 'Sockets of what runs.'],
  ].flatMap(([path, text]) => ['.TP', `.I ${escaped(path!)}`, escaped(text!)]),
  '.SH ENVIRONMENT',
  ...[
    ['VIADUCT_STATE_DIR', 'In place of the state directory above.'],
    ['VIADUCT_RUNTIME_DIR', 'In place of the directory of sockets above.'],
  ].flatMap(([variable, text]) => ['.TP', `.B ${escaped(variable!)}`, escaped(text!)]),
];

function synopses(shape: CommandShape): string[] {
  const shown = shape.commands.length === 0 || shape.path.length === 1 ? [shape] : shape.commands;
  return shown.flatMap((one, at) => {
    const command = one.path.map(escaped).join(' ');
    const values = one.commands.length > 0 ? ['\\fICOMMAND\\fR', '...'] : one.arguments.map(argumentText);
    const options = one.options.length > 0 ? ['[\\fIOPTIONS\\fR]'] : [];
    return [...(at > 0 ? ['.br'] : []), `.B ${command}`, [...options, ...values].join(' ')].filter(
      (line) => line !== '',
    );
  });
}

function argumentText({ name, isRequired, isVariadic }: ArgumentShape): string {
  const text = `\\fI${escaped(name.toUpperCase())}\\fR${isVariadic ? '...' : ''}`;
  return isRequired ? text : `[${text}]`;
}

function argumentsAndOptions(shape: CommandShape, heading: '.SH' | undefined): string[] {
  const values = shape.arguments.flatMap((argument) => [
    '.TP',
    `.I ${escaped(argument.name.toUpperCase())}`,
    escaped(sentence(withChoices(argument.description, argument.choices, undefined))),
  ]);
  const options = shape.options.flatMap(optionLines);
  if (heading === undefined) return [...values, ...options];
  return [
    ...(values.length > 0 ? ['.SH ARGUMENTS', ...values] : []),
    ...(options.length > 0 ? ['.SH OPTIONS', ...options] : []),
  ];
}

function optionLines({ flags, description, value, defaultText }: OptionShape): string[] {
  const spelled = escaped(flags).replaceAll(
    /[<[]([^\]>]+)[\]>]/g,
    (_, name: string) => `\\fI${name.toUpperCase()}\\fP`,
  );
  return [
    '.TP',
    `\\fB${spelled.replaceAll('\\fP', '\\fB')}\\fR`,
    escaped(sentence(withChoices(description, value?.choices ?? [], defaultText))),
  ];
}

function withChoices(description: string, choices: readonly string[], defaultText: string | undefined): string {
  const more = [
    ...(choices.length > 0 ? [`one of ${choices.join(', ')}`] : []),
    ...(defaultText === undefined ? [] : [`default: ${defaultText}`]),
  ];
  return more.length === 0 ? description : `${description} (${more.join('; ')})`;
}

/** Of a command below the page's own. */
function section(shape: CommandShape): string[] {
  const { paragraphs, examples } = partsOf(shape.more);
  return [
    `.SH ${escaped(shape.path.slice(1).join(' ').toUpperCase())}`,
    ...synopses(shape),
    ...paragraph(sentence(shape.description)),
    ...paragraphs.flatMap(textBlock),
    ...argumentsAndOptions(shape, undefined),
    ...(examples.length > 0 ? ['.PP', 'Examples:', ...verbatim(examples)] : []),
    ...shape.commands.flatMap(section),
  ];
}

function listOfCommands({ commands }: CommandShape): string[] {
  const rows = commands.flatMap((child) => [
    '.TP',
    `.BR ${escaped(pageName(child))} (1)`,
    escaped(sentence(child.summary)),
  ]);
  return ['.SH COMMANDS', ...rows];
}

function seeAlso(name: string, program: CommandShape): string {
  const pages = [program, ...program.commands].map(pageName).filter((page) => page !== name);
  return pages.map((page, at) => `.BR ${escaped(page)} (1)${at === pages.length - 1 ? '' : ','}`).join('\n');
}

interface HelpParts {
  readonly paragraphs: readonly (readonly string[])[];
  readonly examples: readonly string[];
}

function partsOf(more: string): HelpParts {
  const blocks = more
    .split(/\n\s*\n/)
    .map((block) => block.split('\n').filter((line) => line.trim() !== ''))
    .filter((block) => block.length > 0);
  const isExample = (block: readonly string[]): boolean => block[0] === 'Examples:';
  const examples = blocks.filter(isExample).map((block) => block.slice(1));
  return {
    // Exit codes have a section of their own.
    paragraphs: blocks.filter((block) => !isExample(block) && !block[0]!.startsWith('Exit codes:')),
    examples: [...new Set(examples.flat())],
  };
}

/** Indented lines are a table and stay as they are; all else is filled. */
function textBlock(block: readonly string[]): string[] {
  const lines: string[] = [];
  let table: string[] = [];
  const endTable = (): void => {
    if (table.length > 0) lines.push(...verbatim(table));
    table = [];
  };
  lines.push('.PP');
  for (const line of block) {
    if (/^\s/.test(line)) table.push(line);
    else {
      endTable();
      lines.push(escaped(line));
    }
  }
  endTable();
  return lines;
}

function verbatim(lines: readonly string[]): string[] {
  const indent = Math.min(...lines.map((line) => line.length - line.trimStart().length));
  return ['.EX', ...lines.map((line) => escaped(line.slice(indent))), '.EE'];
}

function paragraph(text: string): string[] {
  return [escaped(text)];
}

/** With a capital and a stop, as descriptions of options have neither. */
function sentence(text: string): string {
  const first = /^[a-z]+( |,|$)/.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

function plainEnd(text: string): string {
  return text.replace(/\.$/, '');
}

/** As roff takes it: no control characters at the start of a line, hyphens that can be searched for. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('’', '\\(cq')
    .replaceAll('…', '...')
    .replace(/^\./, '\\&.');
}
