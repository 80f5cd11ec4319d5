/** `viaduct serve`: a directory, or another origin, as an NFSv3 server. Nothing is cached. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration, parseSize, systemClock, ViaductError } from '../base/mod.ts';
import { type KeeperPlan, type RunningKeeper, startKeeper } from '../images/mod.ts';
import { parseOrigin } from '../origins/mod.ts';
import { defaultAttributes, defaultConnections, parseListen, type SessionPlan } from '../sessions/mod.ts';
import { holdChoice, holdHelp } from './held-request.ts';
import { addSessionOptions, type Ready, runSession, type SessionFlags, stateDirectoryFor } from './session-command.ts';
import { collect } from './values.ts';

interface ServeFlags extends SessionFlags {
  readonly listen: string;
  readonly allow: string[];
  readonly readOnly?: boolean;
  readonly squash: SessionPlan['squash'];
  readonly workingSets: NonNullable<SessionPlan['workingSets']>;
  readonly leaseTakeover: NonNullable<SessionPlan['leaseTakeover']>;
  readonly pack: 'current' | 'all' | 'off';
  readonly packAfter: string;
  readonly packRate: string;
}

/** How often the tree is looked through for files that have come to rest. */
const packPollMs = 30_000;

const examples = `
Examples:
  viaduct serve /srv/images --listen 127.0.0.2
      QEMU and everybody on this host: nfs://127.0.0.2/golden/disk.raw
  viaduct serve /srv/images --listen 0.0.0.0 --allow 192.0.2.0/24 --read-only
      other hosts of a network that you trust
  viaduct serve /srv/images --listen 127.0.0.1:20049
      one port, no portmapper; needs no privilege. The ready line's ?nfsport= is for libnfs programs: QEMU does not take it
${holdHelp}`;

export function serveCommand(): Command {
  const command = new Command('serve')
    .summary('serve a directory over NFSv3')
    .description('Serves a directory (or re-serves an nfs:// URL) over NFSv3. The export is "/".')
    .argument('<directory>', 'what to serve')
    .option(
      '--listen <address>',
      'ADDR: NFS and MOUNT on 2049, portmapper on 111; ADDR:PORT: that port only',
      '127.0.0.1:2049',
    )
    .option(
      '--allow <network>',
      'let clients of this network in (CIDR; may be repeated); loopback is always allowed',
      collect,
      [],
    )
    .option('--read-only', 'refuse every change')
    .addOption(new Option('--squash <who>', 'who becomes nobody').choices(['none', 'root', 'all']).default('none'))
    .addOption(
      new Option(
        '--lease-takeover <when>',
        'when another host gets the write lease of one that is not seen any more: manual (by --take-over), or after TIME (2m) to whoever asks',
      )
        .argParser(parseTakeover)
        .default('manual'),
    )
    .addOption(
      new Option(
        '--working-sets <who>',
        'who may publish what a boot touched of a file, for the next host: its owner, whoever may read it, nobody (kept beside it, also with --read-only)',
      )
        .choices(['owner', 'readers', 'none'])
        .default('readers'),
    )
    .addOption(
      new Option(
        '--pack <which>',
        'packs to keep current in the background: of files that have been packed once, of all files of 1 MiB and more, or none',
      )
        .choices(['current', 'all', 'off'])
        .default('current'),
    )
    .option('--pack-after <time>', 'how long a file must not have changed before it is packed again', '60s')
    .option('--pack-rate <size>', 'how much of images is read in a second for that', '32M');
  return addSessionOptions(command).addHelpText('after', examples).action(serve);
}

async function serve(directory: string, flags: ServeFlags, command: Command): Promise<void> {
  const keeperPlan = keeperOf(directory, flags);
  let keeper: RunningKeeper | undefined;
  const begin = async ({ log }: Ready): Promise<undefined> => {
    if (keeperPlan !== undefined) keeper = startKeeper(keeperPlan, { log, clock: systemClock });
  };
  try {
    const plan = planOf(directory, flags);
    const hold = holdChoice(command, plan, flags.listen);
    await runSession({ command: 'serve', plan, flags, hold, extend: begin });
  } finally {
    await keeper?.close();
  }
}

/** Undefined: there is nothing to keep. What is served from another server is packed there. */
function keeperOf(directory: string, flags: ServeFlags): KeeperPlan | undefined {
  const quietMs = parseDuration(flags.packAfter, '--pack-after');
  const bytesPerSecond = parseSize(flags.packRate, '--pack-rate');
  if (bytesPerSecond === 0) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: '--pack-rate: nothing would ever be packed.',
      remedy: 'Give a rate above 0, or --pack off.',
    });
  }
  const origin = parseOrigin(directory);
  if (flags.pack === 'off' || origin.kind !== 'directory') return undefined;
  const pollMs = Math.max(1_000, Math.min(packPollMs, quietMs));
  return { directory: origin.path, mode: flags.pack, quietMs, pollMs, bytesPerSecond };
}

function parseTakeover(text: string): NonNullable<SessionPlan['leaseTakeover']> {
  if (text === 'manual') return text;
  const timeMs = parseDuration(text, '--lease-takeover');
  if (timeMs >= 1_000 && timeMs <= 24 * 3_600_000) return timeMs;
  throw new InvalidArgumentError('It is "manual", or a time from 1 s to 24 h.');
}

function planOf(origin: string, flags: ServeFlags): SessionPlan {
  return {
    kind: 'serve',
    origin,
    stateDirectory: stateDirectoryFor(origin, flags.stateDirectory),
    listen: parseListen(flags.listen),
    allow: flags.allow,
    writes: flags.readOnly === true ? 'read-only' : 'write-through',
    squash: flags.squash,
    leaseTakeover: flags.leaseTakeover,
    workingSets: flags.workingSets,
    connections: defaultConnections,
    attributes: defaultAttributes,
    readAheadBytes: 0,
  };
}
