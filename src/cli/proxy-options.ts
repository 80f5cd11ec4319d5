/** The options that `proxy` and `mount` share, and the plan that they stand for. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { limits, parseDuration, parseSize, ViaductError } from '../base/mod.ts';
import { isPurpose } from '../content/mod.ts';
import { writtenPurpose } from '../layers/mod.ts';
import {
  defaultAttributes,
  defaultConnections,
  fetchModes,
  type ListenRule,
  type SessionPlan,
} from '../sessions/mod.ts';
import { type SessionFlags, stateDirectoryFor } from './session-command.ts';
import { collect, wholeNumber } from './values.ts';
import { addWriteOptions, type WriteFlags, writeSettings } from './write-options.ts';

export interface ProxyFlags extends SessionFlags, WriteFlags {
  readonly cache?: string;
  readonly cacheSize: string;
  readonly connections?: number;
  readonly allow: string[];
  readonly content: boolean;
  readonly soleWriter?: boolean;
  readonly squash: SessionPlan['squash'];
  readonly attributeTimeout?: string;
  readonly readAhead: string;
  readonly fetch: NonNullable<SessionPlan['fetch']>;
  readonly fetchRate?: string;
  readonly purpose: string;
}

export function addProxyOptions(command: Command): Command {
  return addWriteOptions(command)
    .option('--cache-size <size>', 'how large the cache may grow; another size starts the cache anew', '10G')
    .option(
      '--connections <number>',
      `TCP connections to the origin (default: ${defaultConnections})`,
      wholeNumber(1, 16),
    )
    .option(
      '--allow <network>',
      'let clients of this network in (CIDR; may be repeated); loopback is always allowed',
      collect,
      [],
    )
    .option('--no-content', 'make no use of content meta-data and packs that are at the origin')
    .option(
      '--sole-writer',
      'nobody else changes the origin’s files while this runs: our writes keep the cache, with any server',
    )
    .addOption(new Option('--squash <who>', 'who becomes nobody').choices(['none', 'root', 'all']).default('none'))
    .option(
      '--attribute-timeout <time>',
      'how long attributes and names are believed at most (default: as kernel clients do, 3 to 60 s)',
    )
    .addOption(
      new Option(
        '--fetch <what>',
        'what is fetched before it is asked for, below what readers want: what earlier runs touched (working-set), then the rest of each file in use too (whole), or of those that were packed so (auto), nothing (on-demand)',
      )
        .choices(fetchModes)
        .default(fetchModes[0]),
    )
    .option('--fetch-rate <size>', 'bytes a second that this may take of the link (default: all that readers leave)')
    .option(
      '--purpose <name>',
      'what the guests of this session do: working sets are learned and used by it',
      purposeOf,
      'boot',
    )
    .option('--read-ahead <size>', 'what read-ahead may have in flight; 0 for none', '64M');
}

/** `logName`: what the default dirty log is called; undefined if the session has no place of its own. */
export function proxyPlan(
  origin: string,
  listen: ListenRule,
  flags: ProxyFlags,
  logName: string | undefined,
): SessionPlan {
  const stateDirectory = stateDirectoryFor(origin, flags.stateDirectory);
  const cache =
    flags.cache === undefined
      ? {}
      : { cache: { directory: resolve(flags.cache), sizeBytes: cacheSize(flags.cacheSize) } };
  return {
    kind: 'proxy',
    origin,
    stateDirectory,
    listen,
    allow: flags.allow,
    ...writeSettings({ flags, stateDirectory, logName }),
    content: flags.content,
    fetch: flags.fetch,
    ...(flags.fetchRate === undefined ? {} : { fetchRateBytesPerSecond: fetchRate(flags.fetchRate) }),
    purpose: flags.purpose,
    soleWriter: flags.soleWriter ?? false,
    squash: flags.squash,
    connections: flags.connections ?? defaultConnections,
    ...cache,
    attributes: attributesFor(flags.attributeTimeout),
    readAheadBytes: Math.min(parseSize(flags.readAhead, '--read-ahead'), limits.readAheadBytes),
  };
}

function fetchRate(text: string): number {
  const bytes = parseSize(text, '--fetch-rate');
  if (bytes >= limits.blockBytes) return bytes;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `--fetch-rate ${text}: not even one block a second.`,
    remedy: 'Give at least 64K, or use --fetch on-demand.',
  });
}

function purposeOf(text: string): string {
  if (isPurpose(text) && text !== writtenPurpose) return text;
  throw new InvalidArgumentError(`It is 1 to 32 of a-z, 0-9 and "-", and not "${writtenPurpose}".`);
}

function cacheSize(text: string): number {
  const bytes = parseSize(text, '--cache-size');
  if (bytes >= limits.cacheBytes) return bytes;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `--cache-size ${text} is too small.`,
    remedy: `Give at least ${limits.cacheBytes / 1024 / 1024}M.`,
  });
}

function attributesFor(timeout: string | undefined): SessionPlan['attributes'] {
  if (timeout === undefined) return defaultAttributes;
  const longest = parseDuration(timeout, '--attribute-timeout');
  return {
    fileMinimumMs: Math.min(defaultAttributes.fileMinimumMs, longest),
    fileMaximumMs: longest,
    directoryMinimumMs: Math.min(defaultAttributes.directoryMinimumMs, longest),
    directoryMaximumMs: longest,
  };
}

/** A session without a port of its own has another address each time. */
export function listenName({ host, port }: ListenRule): string | undefined {
  return port === 0 ? undefined : `${host.replaceAll(/[^0-9a-zA-Z.]/g, '_')}-${port ?? 2049}`;
}
