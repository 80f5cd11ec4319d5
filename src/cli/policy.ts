/** `viaduct policy list|show|explain`: which policies there are, what they mean, and which one holds for a path: of the running daemon, or of a configuration file. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { nearestText, parseSize, systemClock, ViaductError } from '../base/mod.ts';
import { type Configuration, defaultConfigurationFile, loadConfiguration, parseConfiguration } from '../config/mod.ts';
import { askProcesses } from '../control/mod.ts';
import {
  describeModels,
  describePolicy,
  explanationLines,
  type PolicyDescription,
  policyLines,
} from '../policy/mod.ts';
import { type AskedPath, explainIn } from './daemon/explain.ts';
import { FileSizes } from './daemon/file-sizes.ts';
import { withDaemon } from './daemon-reach.ts';
import { mountedPath } from './mounted-path.ts';
import { printJson, printLine } from './output.ts';
import { candidatesOf, controlDirectory } from './process-choice.ts';
import { tableOf } from './session-text.ts';
import { notEmpty } from './values.ts';

interface PolicyFlags {
  readonly config?: string;
  readonly json?: boolean;
  readonly size?: string;
}

const listHelp = `
Five are built in: golden, vm-disk, vm-memory, scratch and home. viaduct.yaml names others, each built on one of them.

Examples:
  viaduct policy list
  viaduct policy list --json | jq -r '.policies[].name'`;

const showHelp = `
Each setting has its value, what gave it that value, and what follows from it.

Examples:
  viaduct policy show vm-disk
  viaduct policy show build --config ./viaduct.yaml`;

const explainHelp = `
PATH is nfs://host/path, the name of an origin with a path (store:/golden/disk.raw), a path below a mount of a session (by
\`viaduct mount\`, or by hand of its address), or a path on this host.
Rules may ask for a size: that of a local file is looked at, else say it with --size.

Examples:
  viaduct policy explain store:/golden/disk.raw
  viaduct policy explain nfs://store.example/images/vm7.ram --size 4G
  viaduct policy explain /mnt/vm/disk.raw --json | jq -r .file.policy`;

export function policyCommand(): Command {
  const command = new Command('policy')
    .summary('show policies, and which one holds for a path')
    .description(
      'Shows policies, what they mean, and which one holds for a path. Asks the running daemon, or reads the configuration.',
    )
    .addHelpText(
      'after',
      `\nExamples:\n  viaduct policy list\n  viaduct policy show vm-disk\n  viaduct policy explain store:/golden/disk.raw`,
    );
  withConfig(command.command('list'))
    .description('show all policies, built in and of the configuration')
    .addHelpText('after', listHelp)
    .action(list);
  withConfig(command.command('show'))
    .description('show what a policy says and what follows from it')
    .argument('<policy>', 'its name', notEmpty)
    .addHelpText('after', showHelp)
    .action(show);
  withConfig(command.command('explain'))
    .description('say which rule and policy hold for a path, why the others do not, and what follows')
    .argument('<path>', 'a file or folder', notEmpty)
    .option('--size <size>', 'how large the file is')
    .addHelpText('after', explainHelp)
    .action(explain);
  return command;
}

function withConfig(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration (default: that of the running daemon, else its usual file)', notEmpty)
    .option('--json', 'print as JSON');
}

interface Found {
  readonly configuration: Configuration;
  /** Whose policies these are, for texts. */
  readonly where: string;
}

/** That of --config, else that of the running daemon, else of the usual file. Without a file the built-in policies hold. */
async function configurationOf({ config }: PolicyFlags): Promise<Found> {
  if (config !== undefined) {
    const file = resolve(config);
    return { configuration: await loadConfiguration(file), where: file };
  }
  const usual = defaultConfigurationFile({ environment: process.env, uid: process.getuid?.() ?? 0 });
  const running = await ofDaemon(usual);
  if (running !== undefined) return running;
  if (existsSync(usual)) return { configuration: await loadConfiguration(usual), where: usual };
  const configuration = parseConfiguration('{}\n', { file: usual }).configuration ?? (await loadConfiguration(usual));
  return { configuration, where: `what is built in: no daemon runs, and ${usual} is not there` };
}

/** What is written of a configuration is one itself. */
async function ofDaemon(usual: string): Promise<Found | undefined> {
  try {
    return await withDaemon(async ({ pid, configuration: ask }) => {
      const { file = usual, configuration: written } = await ask();
      const { configuration } = parseConfiguration(JSON.stringify(written), { file });
      return configuration && { configuration, where: `the daemon (process ${pid})` };
    });
  } catch (error) {
    if (error instanceof ViaductError && error.code === 'DAEMON_UNREACHABLE') return undefined;
    throw error;
  }
}

export async function knownPolicies(flags: PolicyFlags): Promise<PolicyDescription[]> {
  return policiesOf((await configurationOf(flags)).configuration);
}

function policiesOf({ policies }: Configuration): PolicyDescription[] {
  return [...Object.keys(policies).map((name) => describePolicy(name, policies)), ...describeModels()];
}

async function list(flags: PolicyFlags): Promise<void> {
  const { configuration, where } = await configurationOf(flags);
  const policies = policiesOf(configuration);
  if (flags.json === true) {
    printJson({ policies });
    return;
  }
  const rows = policies.map(({ name, model, isModel, summary, description }) => [
    ...[name, isModel ? 'built in' : `model ${model ?? 'none'}`, summary, description ?? ''],
  ]);
  for (const line of tableOf(['NAME', 'FROM', 'IN SHORT', 'FOR'], rows)) printLine(line);
  process.stderr.write(`viaduct: these are those of ${where}\n`);
}

async function show(name: string, flags: PolicyFlags): Promise<void> {
  const {
    configuration: { policies },
    where,
  } = await configurationOf(flags);
  const names = [...Object.keys(policies), ...describeModels().map((model) => model.name)];
  if (!names.includes(name))
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `there is no policy "${name}"${nearestText(name, names)}.`,
      remedy: `There are ${names.join(', ')} (those of ${where}); --config FILE reads another configuration.`,
    });
  const policy = describePolicy(name, policies);
  if (flags.json === true) printJson(policy);
  else for (const line of policyLines(policy)) printLine(line);
}

async function explain(path: string, flags: PolicyFlags): Promise<void> {
  const { configuration } = await configurationOf(flags);
  const size = flags.size === undefined ? undefined : parseSize(flags.size, '--size');
  const explanation = await explainIn(configuration, { path, size, mounted: await mountedAt(path) }, new FileSizes());
  if (flags.json === true) printJson(explanation);
  else for (const line of explanationLines(explanation)) printLine(line);
}

async function mountedAt(path: string): Promise<AskedPath['mounted']> {
  if (!/^\.{0,2}\//.test(path)) return undefined;
  const answers = await askProcesses({ directory: controlDirectory(), clock: systemClock });
  const processes = answers.flatMap((answer) => (answer.kind === 'answered' ? [answer.status] : []));
  const at = mountedPath(resolve(path), candidatesOf(processes), readFileSync('/proc/self/mountinfo', 'utf8'));
  if (at === undefined) return undefined;
  const { id, origin } = at.found.session;
  const session = id === undefined ? undefined : await withDaemon((daemon) => daemon.show(id)).catch(() => undefined);
  return { origin, inside: at.inside, session };
}
