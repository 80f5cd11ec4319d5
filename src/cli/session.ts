/** `viaduct session create|list|show|writeback|flush|invalidate|page|close|reopen`: sessions of the daemon. */
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { nearestText, systemClock, ViaductError } from '../base/mod.ts';
import type { SessionRequest } from '../daemon/mod.ts';
import { settingKeys } from '../policy/mod.ts';
import type { SessionTask } from '../sessions/mod.ts';
import type { DaemonPort } from './daemon-port.ts';
import { withDaemon } from './daemon-reach.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { type CloseFlags, changesSaid, taskBeforeClose } from './session-close.ts';
import { addPage } from './session-page.ts';
import { closedText, sessionTable, sessionText, settingOf } from './session-text.ts';
import { followTask, timeoutOf } from './task-output.ts';
import { collect, notEmpty, wholeNumber } from './values.ts';

interface CreateFlags {
  readonly name?: string;
  readonly policy?: string;
  readonly listen?: string;
  readonly kind: 'serve' | 'proxy';
  readonly set: readonly string[];
  readonly cache?: string;
  readonly allow: readonly string[];
  readonly squash?: 'none' | 'root' | 'all';
  readonly connections?: number;
  readonly takeOver?: boolean;
  readonly temporary?: boolean;
  readonly json?: boolean;
}

interface TaskFlags {
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly json?: boolean;
}

const about = `
Sessions live in the daemon (\`viaduct daemon\`): they outlive commands, and come back on their addresses when the daemon is started again.

Examples:
  viaduct session create store:/golden --policy golden
  viaduct session list
  viaduct session close vm7 --write-back`;

const createHelp = `
ORIGIN is a directory, nfs://host[:port]/path, or the name of an origin in viaduct.yaml, with a path: store:/golden. Without --policy the
rules of viaduct.yaml say which one holds (\`viaduct policy explain\` shows why); without --listen it gets the next free address of the pool.
With --json \`url\` is what mounts take, \`qemu\` what QEMU takes before the name of a file.

Examples:
  viaduct session create nfs://store.example/golden --name golden --policy golden
  viaduct session create store:/vms/7 --name vm7 --policy vm-disk --set dirty-limit=20G --set write-back-after=30s
  qemu-system-x86_64 -drive "file=$(viaduct session create store:/vms/7 --json | jq -r .qemu)disk.raw,format=raw" ...`;

const listHelp = `
DIRTY is what the origin does not have yet, HITS the share of reads that the cache answered. \`viaduct top\` shows them as they work, and so does a
page in a browser, if the daemon listens on TCP (\`viaduct session page\`).

Examples:
  viaduct session list
  viaduct session list --json | jq -r '.sessions[] | select(.state == "failed") | .name'`;

const showHelp = `
Each setting is shown with what gave it its value: this session (--set), a policy, the model that it is built on, or a default.

Examples:
  viaduct session show vm7
  viaduct session show vm7 --json | jq .status.data.layers`;

const taskHelp = `
With --wait: exit code 0 when it is done; 4: a conflict, or the origin refuses (nothing is lost); 5: another host took the write lease; 6: not
done within --timeout (it goes on). With --json: lines as those of \`viaduct writeback --json\`.
`;

const closeHelp = `
What happens with changes that the origin does not have is the policy's on-close unless it is said: --write-back brings them there first (of
a session that redirects they are committed), --keep leaves them in its log on this host, --discard forgets them (redirect only). A
conflict, or an origin that refuses, keeps the session open: exit code 4.

Examples:
  viaduct session close vm7                 # as its policy says
  viaduct session close build3 --discard`;

export function sessionCommand(): Command {
  const command = new Command('session')
    .summary('create, show and close sessions of the daemon')
    .description('Creates, shows and closes sessions of the daemon, and has them write back.')
    .addHelpText('after', about);
  addCreate(command);
  command
    .command('list')
    .description('show the sessions of the daemon')
    .option('--json', 'print as JSON')
    .addHelpText('after', listHelp)
    .action((flags: { json?: boolean }) => withDaemon((daemon) => list(daemon, flags.json === true)));
  command
    .command('show')
    .description('show all about one session: its state, and its settings with whence they came')
    .argument('<session>', 'its name or id', notEmpty)
    .option('--json', 'print as JSON')
    .addHelpText('after', showHelp)
    .action((name: string, flags: { json?: boolean }) =>
      withDaemon((daemon) => show(daemon, name, flags.json === true)),
    );
  addTasks(command);
  addPage(command);
  command
    .command('close')
    .description('end a session for good')
    .argument('<session>', 'its name or id', notEmpty)
    .addOption(new Option('--write-back', 'bring its changes to the origin first').conflicts(['keep', 'discard']))
    .addOption(new Option('--keep', 'leave its changes in its log on this host').conflicts(['discard']))
    .option('--discard', 'forget its changes; of a session that redirects')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', closeHelp)
    .action((name: string, flags: CloseFlags) => withDaemon((daemon) => close(daemon, name, flags)));
  command
    .command('reopen')
    .description('open a session again that ended by an error')
    .argument('<session>', 'its name or id', notEmpty)
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nWhat it wrote is there.\n\nExamples:\n  viaduct session reopen vm7')
    .action((name: string, flags: { json?: boolean }) =>
      withDaemon((daemon) => reopen(daemon, name, flags.json === true)),
    );
  return command;
}

function addCreate(command: Command): void {
  command
    .command('create')
    .description('create a session; it listens when the command returns')
    .argument('<origin>', 'a directory, nfs://host[:port]/path, or NAME:/PATH', notEmpty)
    .option('--name <name>', 'what it is called (default: made from the origin)', notEmpty)
    .option('--policy <policy>', 'which policy holds (`viaduct policy list`; default: as the rules say)', notEmpty)
    .option('--listen <address>', 'ADDR or ADDR:PORT (default: the next free address of the pool)', notEmpty)
    .option('--set <key=value>', 'a setting other than in the policy; may be repeated', repeat, [])
    .option('--cache <name>', 'which cache of viaduct.yaml, or none (default: the first)', notEmpty)
    .addOption(
      new Option('--kind <kind>', 'with a cache, or a plain server').choices(['proxy', 'serve']).default('proxy'),
    )
    .option('--allow <network>', 'let clients of this network in (CIDR; may be repeated)', collect, [])
    .addOption(new Option('--squash <who>', 'who becomes nobody').choices(['none', 'root', 'all']))
    .option('--connections <number>', 'TCP connections to the origin', wholeNumber(1, 16))
    .option('--take-over', 'take the write lease from the host that holds it')
    .option('--temporary', 'it ends with the daemon, instead of being opened again')
    .option('--json', 'print the session as JSON')
    .addHelpText('after', createHelp)
    .action((origin: string, flags: CreateFlags) => withDaemon((daemon) => create(daemon, origin, flags)));
}

interface TaskCommand {
  readonly name: string;
  readonly description: string;
  readonly takesFile?: boolean;
  readonly example: string;
  readonly done: string;
  task(file: string | undefined): SessionTask;
}

const taskCommands: readonly TaskCommand[] = [
  {
    name: 'writeback',
    description: 'bring what waits to the origin, now',
    takesFile: true,
    example: 'viaduct session writeback vm7 --wait',
    done: 'everything is at the origin',
    task: (file) => ({ task: 'write-back', file }),
  },
  {
    name: 'flush',
    description: 'the same, then forget what is cached, so that the origin’s state is seen',
    example: 'viaduct session flush vm7 --wait',
    done: 'everything is at the origin, and what was cached is forgotten',
    task: () => ({ task: 'flush' }),
  },
  {
    name: 'invalidate',
    description: 'forget what is cached of the origin, at once; changes stay',
    example: 'viaduct session invalidate golden --wait     # after its images were replaced at the origin',
    done: 'what was cached is forgotten',
    task: () => ({ task: 'invalidate' }),
  },
];

function addTasks(command: Command): void {
  for (const { name, description, takesFile, example, done, task } of taskCommands) {
    const child = command.command(name).description(description).argument('<session>', 'its name or id', notEmpty);
    if (takesFile === true) child.argument('[file]', 'only this file, and what must go before it');
    child
      .option('--wait', 'return when it is done, with progress on a terminal')
      .option(
        '--timeout <time>',
        'with --wait: how long to wait (default: as long as it takes); what was begun goes on',
      )
      .option('--json', 'print progress and the result as lines of JSON')
      .addHelpText('after', `${taskHelp}\nExamples:\n  ${example}`)
      .action((session: string, ...rest: unknown[]) => {
        const file = takesFile === true && typeof rest[0] === 'string' ? rest[0] : undefined;
        const text = file === undefined ? done : `${file} is at the origin`;
        return withDaemon((daemon) => runTask(daemon, session, task(file), child.opts<TaskFlags>(), text));
      });
  }
}

function repeat(text: string, before: readonly string[]): string[] {
  return [...before, text];
}

async function create(daemon: DaemonPort, origin: string, flags: CreateFlags): Promise<void> {
  const { name, policy, listen, kind, cache, allow, squash, connections, takeOver, temporary } = flags;
  const settings = Object.fromEntries(flags.set.map((text) => settingOf(text, settingKeys)));
  const request: SessionRequest = {
    origin: fromHere(origin),
    kind,
    ...(name === undefined ? {} : { name }),
    ...(policy === undefined ? {} : { policy }),
    ...(listen === undefined ? {} : { listen }),
    ...(Object.keys(settings).length === 0 ? {} : { settings }),
    ...(cache === undefined ? {} : { cache: cache === 'none' ? null : cache }),
    ...(allow.length === 0 ? {} : { allow }),
    ...(squash === undefined ? {} : { squash }),
    ...(connections === undefined ? {} : { connections }),
    ...(takeOver === true ? { takeOver } : {}),
    ...(temporary === true ? { isTemporary: true } : {}),
  };
  const view = await daemon.create(request).catch(async (error: unknown) => {
    throw await withPolicies(error, policy, daemon);
  });
  if (flags.json === true) {
    printJson(view);
    return;
  }
  printLine(`${view.name} is ready at ${view.url ?? 'no address'} (policy ${view.policy}; ${view.id})`);
  const sample = (await daemon.samples().catch(() => [])).find(({ id }) => id === view.id);
  if ((sample?.originAwayMs ?? 0) > 0)
    process.stderr.write('viaduct: its origin does not answer at present: what needs it waits\n');
}

/** The daemon has another working directory. */
function fromHere(origin: string): string {
  return /^\.\.?(\/|$)/.test(origin) ? resolve(origin) : origin;
}

async function withPolicies(error: unknown, policy: string | undefined, daemon: DaemonPort): Promise<unknown> {
  if (policy === undefined || !(error instanceof ViaductError) || error.code !== 'CONFIGURATION_INVALID') return error;
  const names = await daemon.policyNames().catch((): readonly string[] => []);
  if (names.length === 0 || names.includes(policy)) return error;
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `there is no policy "${policy}"${nearestText(policy, names)}.`,
    remedy: `There are ${names.join(', ')}; \`viaduct policy show NAME\` explains one.`,
    from: error,
  });
}

async function list(daemon: DaemonPort, json: boolean): Promise<void> {
  const [views, samples] = await Promise.all([daemon.list(), daemon.samples()]);
  if (json) {
    const sessions = views.map((view) => ({ ...view, sample: samples.find(({ id }) => id === view.id) }));
    printJson({ daemon: daemon.pid, sessions });
  } else if (views.length === 0) printLine('no sessions; `viaduct session create ORIGIN` makes one');
  else for (const line of sessionTable(views, samples)) printLine(line);
}

async function show(daemon: DaemonPort, name: string, json: boolean): Promise<void> {
  const detail = await named(daemon, name, daemon.show(name));
  if (json) {
    printJson(detail);
    return;
  }
  const sample = (await daemon.samples()).find(({ id }) => id === detail.id);
  for (const line of sessionText(detail, systemClock.wallTimeMs(), sample)) printLine(line);
}

async function reopen(daemon: DaemonPort, name: string, json: boolean): Promise<void> {
  const view = await named(daemon, name, daemon.reopen(name));
  if (json) printJson(view);
  else printLine(`${view.name} is ${view.state}${view.url === undefined ? '' : ` at ${view.url}`}`);
}

async function runTask(
  daemon: DaemonPort,
  session: string,
  task: SessionTask,
  flags: TaskFlags,
  doneText: string,
): Promise<void> {
  const view = { wait: flags.wait === true, json: flags.json === true, timeoutMs: timeoutOf(flags), doneText };
  process.exitCode = await named(daemon, session, followTask(daemon, session, task, view));
}

async function close(daemon: DaemonPort, name: string, flags: CloseFlags): Promise<void> {
  const json = flags.json === true;
  const changes = changesSaid(flags);
  const task = taskBeforeClose(await named(daemon, name, daemon.show(name)), changes);
  if (task !== undefined) {
    const code = await followTask(daemon, name, task, { wait: true, json, doneText: undefined });
    if (code !== exitCodes.done) {
      process.exitCode = code;
      return;
    }
  }
  const closed = await daemon.close(name, changes === undefined ? {} : { changes });
  if (json) printJson({ kind: 'closed', ...closed });
  else printLine(closedText(closed));
}

/** A session that is not there: its name may be a slip. */
async function named<Value>(daemon: DaemonPort, name: string, asking: Promise<Value>): Promise<Value> {
  try {
    return await asking;
  } catch (error) {
    if (!(error instanceof ViaductError) || error.code !== 'SESSION_NOT_FOUND') throw error;
    const names = (await daemon.list()).map((view) => view.name);
    if (names.includes(name)) throw error;
    throw new ViaductError('SESSION_NOT_FOUND', {
      cause: `the daemon has no session "${name}"${nearestText(name, names)}.`,
      remedy: '`viaduct session list` shows them.',
      from: error,
    });
  }
}
