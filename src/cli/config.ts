/** `viaduct config`: whether a viaduct.yaml is right, what it may hold, and what holds after defaults. */
import { Command } from 'commander';
import { stringify } from 'yaml';
import { counted } from '../base/mod.ts';
import {
  configurationJsonSchema,
  defaultConfigurationFile,
  formatProblem,
  type InspectedConfiguration,
  inspectConfiguration,
  loadConfiguration,
  writeConfiguration,
} from '../config/mod.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { printable } from './printable.ts';

const checkExamples = `
Examples:
  viaduct config check                          # the default file
  viaduct config check ./viaduct.yaml
  viaduct config check --json | jq -r '.problems[] | "\\(.line): \\(.cause)"'

Each problem is FILE:LINE:COLUMN: error: KEY: CAUSE, as compilers tell them, so that editors jump to it; then the line, and what to do.
Exit code 0: it can be used (there may be warnings); 2: it cannot.`;

const examples = `
Examples:
  viaduct config check ./viaduct.yaml
  viaduct config show --json | jq .sessions`;

const showExamples = `
Examples:
  viaduct config show                           # the default file
  viaduct config show ./viaduct.yaml
  viaduct config show --json | jq .daemon`;

const schemaExamples = `
Editors that know YAML (with yaml-language-server) complete and check keys with it:
  viaduct config schema > viaduct.schema.json
and as the first line of viaduct.yaml:
  # yaml-language-server: $schema=./viaduct.schema.json`;

export function configCommand(): Command {
  return new Command('config')
    .summary('check and explain viaduct.yaml')
    .description('Checks the configuration of the daemon, prints its schema, or what holds after defaults.')
    .addCommand(checkCommand())
    .addCommand(schemaCommand())
    .addCommand(showCommand())
    .addHelpText('after', examples);
}

function checkCommand(): Command {
  return new Command('check')
    .summary('say everything that is wrong with a file')
    .description('Checks a configuration and tells all problems at once. Nothing is opened or changed.')
    .argument('[file]', 'the configuration (default: /etc/viaduct/viaduct.yaml, or ~/.config/viaduct/viaduct.yaml)')
    .option('--json', 'print the problems as JSON')
    .addHelpText('after', checkExamples)
    .action((file: string | undefined, flags: { json?: boolean }) => check(fileOf(file), flags.json === true));
}

function schemaCommand(): Command {
  return new Command('schema')
    .summary('print the JSON Schema of viaduct.yaml')
    .description('Prints the JSON Schema (draft 2020-12) of viaduct.yaml, for editors.')
    .addHelpText('after', schemaExamples)
    .action(() => printLine(JSON.stringify(configurationJsonSchema(), undefined, 2)));
}

function showCommand(): Command {
  return new Command('show')
    .summary('print what holds after defaults')
    .description(
      'Prints a configuration as it holds: defaults filled in, paths absolute. What it prints is a configuration itself.',
    )
    .argument('[file]', 'the configuration (default: /etc/viaduct/viaduct.yaml, or ~/.config/viaduct/viaduct.yaml)')
    .option('--json', 'print it as JSON')
    .addHelpText('after', showExamples)
    .action(async (file: string | undefined, flags: { json?: boolean }) => {
      const written = writeConfiguration(await loadConfiguration(fileOf(file)));
      if (flags.json === true) printJson(written);
      else printLine(stringify(written).trimEnd());
    });
}

function fileOf(file: string | undefined): string {
  return file ?? defaultConfigurationFile({ environment: process.env, uid: process.getuid?.() ?? 0 });
}

async function check(file: string, json: boolean): Promise<void> {
  const inspected = await inspectConfiguration(file);
  const isValid = inspected.configuration !== undefined;
  if (json) printJson({ valid: isValid, file, problems: inspected.problems });
  else printReport(inspected);
  if (!isValid) process.exitCode = exitCodes.usage;
}

function printReport({ file, text, problems, configuration }: InspectedConfiguration): void {
  for (const problem of problems) {
    const lines = formatProblem(problem, file, text).split('\n');
    // A tab keeps the caret below what it points at.
    for (const line of lines) printLine(line.split('\t').map(printable).join('\t'));
  }
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const warnings = problems.length - errors;
  const found = [
    ...(errors > 0 ? [counted(errors, 'error')] : []),
    ...(warnings > 0 ? [counted(warnings, 'warning')] : []),
  ];
  if (configuration === undefined) printLine(`${printable(file)} cannot be used: ${found.join(', ')}.`);
  else {
    const { sessions, caches, origins, policies } = configuration;
    const held = [
      counted(sessions.length, 'session'),
      counted(caches.length, 'cache'),
      counted(origins.length, 'origin'),
      `${Object.keys(policies).length} ${Object.keys(policies).length === 1 ? 'policy' : 'policies'}`,
    ];
    printLine(
      `${printable(file)} is valid${found.length > 0 ? `, with ${found.join(', ')}` : ''}: ${held.join(', ')}.`,
    );
  }
}
