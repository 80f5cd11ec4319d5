/** `viaduct log show|salvage`: what a dirty log holds, and its bytes as ordinary files when nothing else is left to do. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { counted, formatSize, systemClock, ViaductError } from '../base/mod.ts';
import { conflictsIn } from '../control/mod.ts';
import { type InspectedLog, inspectLog, systemLogDirectory } from '../dirty/mod.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { nameOfFile, type Salvaged, salvageInto } from './salvage.ts';
import { notEmpty } from './values.ts';
import { describeConflict } from './write-back-text.ts';

interface LogFlags {
  readonly json?: boolean;
}

const showHelp = `
Reads only, and also while a session has the log open (what is written meanwhile may be missing). Exit code 3: records that
were stable do not verify, and a start would refuse the log.

Examples:
  viaduct log show /var/lib/viaduct/5e1f2a90c3d4b687/dirty-127.0.0.3-2049`;

const salvageHelp = `
For each file with changes TARGET gets a sparse file with these changes in their places, and zeros where the origin's bytes belong;
TARGET/salvage.json says which ranges are changes, and which of them were lost. The log is not changed. Exit code 3: something was lost,
or records that were stable do not verify and what they held is not known.

Examples:
  viaduct log salvage /var/lib/viaduct/5e1f2a90c3d4b687/dirty-127.0.0.3-2049 /tmp/salvaged`;

export function logCommand(): Command {
  const command = new Command('log')
    .summary('look at a dirty log, or save what is in it')
    .description('Looks at a dirty log, or saves what is in it as ordinary files.')
    .addHelpText('after', `${showHelp.replace(/^[\s\S]*Examples:/, '\nExamples:')}\n  viaduct log salvage DIR TARGET`);
  command
    .command('show')
    .description('show what a dirty log holds')
    .argument('<directory>', 'what was given as --dirty-log, or what `viaduct status` shows', notEmpty)
    .option('--json', 'print as JSON')
    .addHelpText('after', showHelp)
    .action(show);
  command
    .command('salvage')
    .description('copy the changes that can be read into ordinary files')
    .argument('<directory>', 'the dirty log', notEmpty)
    .argument('<target>', 'a directory that is empty or not there yet', notEmpty)
    .option('--json', 'print as JSON')
    .addHelpText('after', salvageHelp)
    .action(salvage);
  return command;
}

async function show(directory: string, flags: LogFlags): Promise<void> {
  const path = existing(directory);
  const opened = await systemLogDirectory(path, { clock: systemClock, isReadOnly: true });
  const log = await inspectLog(opened).finally(() => opened.close());
  if (log === undefined) throw noLog(path);
  if (flags.json === true) printJson(asJson(path, log));
  else for (const line of describe(log)) printLine(line);
  if (log.damaged !== undefined) process.exitCode = exitCodes.found;
}

async function salvage(directory: string, target: string, flags: LogFlags): Promise<void> {
  const path = existing(directory);
  const salvaged = await salvageInto(path, resolve(target), systemClock);
  if (salvaged === undefined) throw noLog(path);
  const { files, damaged } = salvaged;
  const lostBytes = files.reduce((sum, file) => sum + bytesOf(file.lost), 0);
  if (flags.json === true) printJson({ directory: path, target: resolve(target), lostBytes, damaged, files });
  else {
    for (const file of files) printLine(`${file.savedAs}: ${describeSalvaged(file)}`);
    printLine(`${counted(files.length, 'file')} in ${resolve(target)}; ${describeLost(lostBytes, damaged)}`);
  }
  if (lostBytes > 0 || damaged !== undefined) process.exitCode = exitCodes.found;
}

/** A record whose head is gone does not say what it held. */
export function describeLost(bytes: number, damaged: string | undefined): string {
  const known = `${formatSize(bytes)} lost`;
  if (damaged === undefined) return known;
  return `${bytes > 0 ? `at least ${known}` : 'something is lost, and how much is not known'}: ${damaged}`;
}

function describeSalvaged({ size, ranges, lost }: Salvaged): string {
  const gone = lost.length === 0 ? '' : `, ${formatSize(bytesOf(lost))} lost`;
  return `${formatSize(bytesOf(ranges))} of changes in ${counted(ranges.length, 'place')} of ${formatSize(size)}${gone}`;
}

function bytesOf(ranges: readonly { readonly count: number }[]): number {
  return ranges.reduce((sum, { count }) => sum + count, 0);
}

function policyOf(log: InspectedLog): string {
  const note = log.notes.get('session/policy');
  return note === undefined ? 'unknown' : Buffer.from(note).toString();
}

/** Apart from the printing, so that it can be tested. */
export function describe(log: InspectedLog): string[] {
  const { identity, segments, epochs, files, notes, damage, damaged } = log;
  const bytes = files.reduce((sum, file) => sum + file.dirtyBytes, 0);
  const room = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  return [
    `origin    ${identity ?? 'unknown'}`,
    `policy    ${policyOf(log)}`,
    `holds     ${damaged === undefined ? '' : 'at least '}${formatSize(bytes)} of ${counted(files.length, 'file')}, in ${counted(epochs.length, 'epoch')}`,
    `disk      ${formatSize(room)} in ${counted(segments.length, 'segment')}; ${log.cleanlyClosed ? 'closed cleanly' : 'in use, or not closed cleanly'}`,
    ...files.map(
      (file) => `file      ${nameOfFile(file, notes) ?? `handle ${hex(file.key)}`}: ${formatSize(file.dirtyBytes)}`,
    ),
    ...conflictsIn(log).map((conflict) => `CONFLICT  ${describeConflict(conflict)}`),
    ...(damaged === undefined ? [] : [`DAMAGE    ${damaged}`]),
    ...(damaged === undefined ? [] : damage).map(
      ({ segment, position, what }) => `DAMAGE    ${segment} at byte ${position}: a ${what} does not verify`,
    ),
  ];
}

function asJson(directory: string, log: InspectedLog): object {
  const { identity, bootId, cleanlyClosed, segments, epochs, files, notes, damage, damaged } = log;
  return {
    directory,
    identity,
    policy: policyOf(log),
    bootId,
    cleanlyClosed,
    dirtyBytes: files.reduce((sum, file) => sum + file.dirtyBytes, 0),
    files: files.map(({ key, ...file }) => ({ name: nameOfFile({ key }, notes), handle: hex(key), ...file })),
    conflicts: conflictsIn(log),
    epochs,
    segments,
    damaged,
    // Of a log that is not damaged: what an interrupted write left, or nothing that is needed.
    damage: damaged === undefined ? [] : damage,
  };
}

function hex(key: string): string {
  return Buffer.from(key, 'latin1').toString('hex');
}

/** Looking at a log must not make one. */
function existing(directory: string): string {
  const path = resolve(directory);
  if (existsSync(path)) return path;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${path} does not exist.`,
    remedy: 'Name the directory given to --dirty-log; `viaduct status` shows those in use.',
  });
}

function noLog(path: string): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `${path} holds no dirty log.`,
    remedy: 'Name the directory given to --dirty-log; `viaduct status` shows those in use.',
  });
}
