/** The options of `proxy` and `mount` that say where changes go, and the part of the plan that they stand for. */
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { limits, parseDuration, parseSize, ViaductError } from '../base/mod.ts';
import {
  type CommitPlace,
  commitPlaces,
  defaultDirty,
  defaultOutage,
  keepsLog,
  type SessionPlan,
  type WritePolicy,
  writePolicies,
} from '../sessions/mod.ts';
import { notEmpty } from './values.ts';

export interface WriteFlags {
  readonly policy?: WritePolicy;
  readonly readOnly?: boolean;
  readonly commit?: CommitPlace;
  readonly dirtyLog?: string;
  readonly dirtyLimit?: string;
  readonly dirtyAge?: string;
  readonly writeBackAfter?: string;
  readonly writeBackRate?: string;
  readonly outage?: string;
  readonly takeOver?: boolean;
  readonly abandonDirtyLog?: boolean;
}

/** To be put under the examples of a command's help. */
export const writeHelp = `
Where changes go (--policy):
  read-only      every change is refused
  write-through  answered when the origin has answered; the default
  write-back     answered when this host's dirty log has it; the origin gets it later, in order. SIGUSR1: write back now; SIGUSR2:
                 write back, then forget what is cached. \`viaduct status\` says what the origin does not have yet
  redirect       never at the origin, until \`viaduct redirect commit\` (or \`discard\`): many sessions can share one golden image`;

export function addWriteOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--policy <policy>', 'where changes go (see below; default: write-through)').choices(writePolicies),
    )
    .option('--read-only', 'the same as --policy read-only')
    .addOption(
      new Option(
        '--commit <place>',
        'where data must be when a client asks for stable data: on this host’s disk (default of write-back), with what the origin’s address names (another proxy may keep it there; default of write-through), or at the origin itself, past every proxy',
      ).choices(commitPlaces),
    )
    .option(
      '--dirty-log <directory>',
      'where changes wait, on a disk of this host (default: below --state-directory, by address or mount point)',
      notEmpty,
    )
    .option(
      '--dirty-limit <size>',
      'what the dirty log may take; then writers are slowed to the speed of the link (default: 4G)',
    )
    .option('--dirty-age <time>', 'how old a change may become whose client never asks for stable data (default: 30s)')
    .option('--write-back-after <time>', 'how long a change waits for others before it leaves (default: 5s)')
    .option(
      '--write-back-rate <size>',
      'bytes a second that write-back may take of the link (default: all that readers leave)',
    )
    .option(
      '--outage <what>',
      'what is asked for and not known here while the origin is away: hold (wait), fail[:TIME] (an I/O error after 30s or TIME), stale (as last known, data waits) (default: hold)',
    )
    .option(
      '--take-over',
      'write-back: take the write lease from the host that holds it; what that host has not written back stays there',
    )
    .option(
      '--abandon-dirty-log',
      'start with a new dirty log where the one that an earlier session left changes in is missing; `viaduct status` still tells of the old one',
    );
}

export interface WriteSettings {
  readonly flags: WriteFlags;
  readonly stateDirectory: string;
  /** Names the session below the state directory; undefined if it has no address of its own. */
  readonly logName: string | undefined;
}

/** The fields of the plan. Whether they fit together is the plan's own check. */
export function writeSettings({
  flags,
  stateDirectory,
  logName,
}: WriteSettings): Pick<SessionPlan, 'writes' | 'commit' | 'dirty' | 'outage' | 'takeOverLease'> {
  const writes = policyOf(flags);
  const directory =
    flags.dirtyLog !== undefined
      ? resolve(flags.dirtyLog)
      : logName === undefined
        ? undefined
        : join(stateDirectory, `dirty-${logName}`);
  if (keepsLog(writes) && directory === undefined) throw logUnnamed(writes);
  if (!keepsLog(writes)) refuseLogOptions(flags, writes);
  return {
    writes,
    ...(flags.commit === undefined ? {} : { commit: flags.commit }),
    ...(directory === undefined ? {} : { dirty: { directory, ...dirtyLimits(flags) } }),
    ...(flags.outage === undefined ? {} : { outage: parseOutage(flags.outage) }),
    ...(flags.takeOver === true ? { takeOverLease: true } : {}),
  };
}

function policyOf({ policy, readOnly }: WriteFlags): WritePolicy {
  if (readOnly !== true) return policy ?? 'write-through';
  if (policy === undefined || policy === 'read-only') return 'read-only';
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `--read-only contradicts --policy ${policy}.`,
    remedy: 'Leave one of them out; --read-only is short for --policy read-only.',
  });
}

function dirtyLimits(flags: WriteFlags): Omit<NonNullable<SessionPlan['dirty']>, 'directory'> {
  const writeBackAfterMs =
    flags.writeBackAfter === undefined
      ? defaultDirty.writeBackAfterMs
      : parseDuration(flags.writeBackAfter, '--write-back-after');
  // A longer delay alone means that older changes are wanted, too.
  const ageMs =
    flags.dirtyAge === undefined
      ? Math.max(defaultDirty.ageMs, writeBackAfterMs)
      : parseDuration(flags.dirtyAge, '--dirty-age');
  return {
    limitBytes: flags.dirtyLimit === undefined ? defaultDirty.limitBytes : dirtyLimit(flags.dirtyLimit),
    writeBackAfterMs,
    ageMs,
    ...(flags.writeBackRate === undefined ? {} : { rateBytesPerSecond: writeBackRate(flags.writeBackRate) }),
  };
}

function dirtyLimit(text: string): number {
  const bytes = parseSize(text, '--dirty-limit');
  if (bytes >= limits.dirtyLogBytes) return bytes;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `--dirty-limit ${text} is too small.`,
    remedy: `Give at least ${limits.dirtyLogBytes / 1024 / 1024}M.`,
  });
}

function writeBackRate(text: string): number {
  const bytes = parseSize(text, '--write-back-rate');
  if (bytes > 0) return bytes;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `--write-back-rate ${text} would never write anything back.`,
    remedy: 'Give bytes a second (20M), or use --policy redirect.',
  });
}

/** `hold`, `fail`, `fail:60s`, `stale`. */
function parseOutage(text: string): NonNullable<SessionPlan['outage']> {
  const { failAfterMs } = defaultOutage;
  if (text === 'hold' || text === 'stale') return { misses: text, failAfterMs };
  if (text === 'fail') return { misses: 'fail', failAfterMs };
  if (text.startsWith('fail:'))
    return { misses: 'fail', failAfterMs: parseDuration(text.slice('fail:'.length), '--outage fail:TIME') };
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `--outage ${text}: this is none of hold, fail, fail:TIME, stale.`,
    remedy: 'Write --outage hold, --outage fail, --outage fail:60s or --outage stale.',
  });
}

function refuseLogOptions(flags: WriteFlags, writes: WritePolicy): void {
  const given = [
    flags.dirtyLimit === undefined ? undefined : '--dirty-limit',
    flags.dirtyAge === undefined ? undefined : '--dirty-age',
    flags.writeBackAfter === undefined ? undefined : '--write-back-after',
    flags.writeBackRate === undefined ? undefined : '--write-back-rate',
  ].find((name) => name !== undefined);
  if (given === undefined) return;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${given} contradicts --policy ${writes}: nothing is kept back on this host.`,
    remedy: 'Add --policy write-back, or leave it out.',
  });
}

function logUnnamed(writes: WritePolicy): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `--policy ${writes} needs a dirty log that the next start finds again, and a session on port 0 has another address each time.`,
    remedy: 'Name a directory of this host: --dirty-log DIR; or listen on an address or port of its own.',
  });
}
