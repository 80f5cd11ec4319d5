/** `viaduct lease list|release`: who may write to what `viaduct serve` serves, and the end of a lease whose holder is gone. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command } from 'commander';
import { formatDuration, systemClock, systemRandom, ViaductError } from '../base/mod.ts';
import { leasesFile, SqliteLeaseStore } from '../sessions/mod.ts';
import type { LeaseRecord } from '../vfs/mod.ts';
import { printJson, printLine } from './output.ts';
import { stateDirectoryFor } from './session-command.ts';
import { notEmpty } from './values.ts';

interface LeaseFlags {
  readonly json?: boolean;
  readonly stateDirectory?: string;
}

const examples = `
Examples:
  viaduct lease list /srv/images
  viaduct lease release /srv/images /golden     # its holder is gone for good

A holder that still lives asks for its lease again at its next sign of life, unless another has it by then. What a host has not
written back stays with it.`;

export function leaseCommand(): Command {
  const command = new Command('lease')
    .summary('show or end the write leases of a served directory')
    .description('Shows and ends the write leases that "viaduct serve" gave out, on its host; it may run or not.')
    .addHelpText('after', examples);
  withOptions(command.command('list'))
    .description('show who may write to which tree')
    .argument('<directory>', 'what is served, as given to "viaduct serve"', notEmpty)
    .addHelpText('after', '\nExamples:\n  viaduct lease list /srv/images --json | jq .leases')
    .action(list);
  withOptions(command.command('release'))
    .description('end the lease of a tree')
    .argument('<directory>', 'what is served, as given to "viaduct serve"', notEmpty)
    .argument('<tree>', 'the tree, as "viaduct lease list" shows it', notEmpty)
    .addHelpText('after', '\nExamples:\n  viaduct lease release /srv/images /golden')
    .action(release);
  return command;
}

function withOptions(command: Command): Command {
  return command
    .option('--state-directory <dir>', 'as given to "viaduct serve"', notEmpty)
    .option('--json', 'print as JSON');
}

function list(origin: string, flags: LeaseFlags): void {
  const store = open(origin, flags);
  try {
    const leases = store?.held() ?? [];
    if (flags.json === true) printJson({ leases: leases.map(plainOf) });
    else if (leases.length === 0) printLine('no tree is leased');
    else for (const lease of leases) printLine(describe(lease));
  } finally {
    store?.close();
  }
}

function release(origin: string, tree: string, flags: LeaseFlags): void {
  const store = open(origin, flags);
  try {
    const lease = store?.held().find((one) => shown(one.path) === tree);
    const ended = { how: 'released', by: 'an administrator', atMs: systemClock.wallTimeMs() } as const;
    if (store === undefined || lease === undefined || !store.end(lease.tree, lease.token, ended)) {
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `nobody holds a write lease of ${tree} in ${origin}.`,
        remedy: `See \`viaduct lease list ${origin}\`; give the same --state-directory as to "viaduct serve".`,
      });
    }
    if (flags.json === true) printJson({ released: plainOf(lease) });
    else printLine(`released: ${describe(lease)}`);
  } finally {
    store?.close();
  }
}

/** Looking must not make a store. Undefined: a serve of it ran, and gave no lease. Throws the system's error if it may not be seen. */
function open(origin: string, flags: LeaseFlags): SqliteLeaseStore | undefined {
  const path = leasesFile(stateDirectoryFor(origin, flags.stateDirectory));
  if (isThere(path)) {
    accessSync(path, constants.R_OK | constants.W_OK);
    return new SqliteLeaseStore({ path, clock: systemClock, random: systemRandom });
  }
  if (isThere(dirname(path))) return undefined;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: existsSync(origin)
      ? `this state directory knows no serve of ${origin}: ${dirname(dirname(path))}.`
      : `${origin} does not exist.`,
    remedy: 'Give DIRECTORY and --state-directory as to "viaduct serve", as its user.',
  });
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function plainOf({ path, holder, sinceMs, seenMs }: LeaseRecord): object {
  const time = (ms: number): string => new Date(ms).toISOString();
  return { tree: shown(path), holder, since: time(sinceMs), seen: time(seenMs) };
}

function describe({ path, holder, sinceMs, seenMs }: LeaseRecord): string {
  const ago = (ms: number): string => formatDuration(Math.max(0, systemClock.wallTimeMs() - ms));
  return `${shown(path)}  held by ${holder} for ${ago(sinceMs)}, last seen ${ago(seenMs)} ago`;
}

/** A name of the export may hold anything; a terminal gets no control characters. */
function shown(path: string): string {
  return Buffer.from(path, 'latin1')
    .toString('utf8')
    .replaceAll(/\p{C}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
