/**
 * Writes what a dirty log holds into ordinary files.
 *
 *     TARGET/disk.raw         sparse, as long as the file was; changes in their places
 *     TARGET/disk.raw.7       another file of that name (7: its number in the log)
 *     TARGET/salvage.json     for each: name, handle, which ranges are changes, which were lost
 */
import { constants, rmdirSync } from 'node:fs';
import { open, readdir, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemCode, ViaductError } from '../base/mod.ts';
import { type InspectedFile, type SalvagedRange, salvageLog, systemLogDirectory } from '../dirty/mod.ts';
import { decodeRecord, fileNotes } from '../layers/mod.ts';
import { makeDirectory } from '../native/mod.ts';

/** Made if it is not there, and never cut. */
const openFlags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;

interface Range {
  readonly offset: number;
  count: number;
}

export interface Salvaged {
  /** The last name that it was seen under, if any. */
  readonly name: string | undefined;
  readonly handle: string;
  readonly savedAs: string;
  readonly size: number;
  readonly ranges: readonly Range[];
  readonly lost: readonly Range[];
}

export interface Salvage {
  readonly files: readonly Salvaged[];
  /** Records that were stable do not verify: more is lost than `lost` of the files says, if their heads are gone. */
  readonly damaged: string | undefined;
}

interface Output {
  readonly file: InspectedFile;
  readonly name: string | undefined;
  readonly savedAs: string;
  readonly ranges: Range[];
  readonly lost: Range[];
}

/** Undefined: there is no log. Nothing is written over; directories that were made for nothing are removed. */
export async function salvageInto(directory: string, target: string, clock: Clock): Promise<Salvage | undefined> {
  const made = await makeEmpty(target);
  let salvaged: Salvage | undefined;
  try {
    salvaged = await salvageFiles(directory, target, clock);
    return salvaged;
  } catch (error) {
    // Files without their end look whole, and it can be done again. What another error left may be all that can be had.
    if (error instanceof ViaductError && error.code === 'DISK_FULL') await emptyOut(target);
    throw error;
  } finally {
    if (salvaged === undefined) removeEmpty(made);
  }
}

async function salvageFiles(directory: string, target: string, clock: Clock): Promise<Salvage | undefined> {
  const outputs = new Map<number, Output>();
  const taken = new Set<string>(['salvage.json']);
  const outputOf = (file: InspectedFile, notes: ReadonlyMap<string, Uint8Array>): Output => {
    const known = outputs.get(file.number);
    if (known !== undefined) return known;
    const name = nameOfFile(file, notes);
    const plain = name ?? `file-${file.number}`;
    const savedAs = taken.has(plain) ? `${plain}.${file.number}` : plain;
    taken.add(savedAs);
    const output = { file, name, savedAs, ranges: [], lost: [] };
    outputs.set(file.number, output);
    return output;
  };
  const log = await systemLogDirectory(directory, { clock, isReadOnly: true });
  const result = await salvageLog(log, clock, (range, notes) =>
    put(target, outputOf(range.file, notes), range),
  ).finally(() => log.close());
  if (result === undefined) return undefined;
  for (const file of result.log.files) outputOf(file, result.log.notes);
  for (const { file, offset, count } of result.lost) add(outputOf(file, result.log.notes).lost, offset, count);
  const salvaged = [...outputs.values()].map(({ file, ...rest }) => ({
    ...rest,
    handle: Buffer.from(file.key, 'latin1').toString('hex'),
    size: file.size,
  }));
  for (const { savedAs, size } of salvaged) await setSize(join(target, savedAs), size);
  const { identity, damaged } = result.log;
  const list = join(target, 'salvage.json');
  const text = `${JSON.stringify({ identity, damaged, files: salvaged }, undefined, 2)}\n`;
  await writeFile(list, text, { flush: true, mode: 0o600 }).catch((error: unknown) => notKept(list, error));
  return { files: salvaged, damaged };
}

/** The name in the note that write-back keeps of each file. */
export function nameOfFile(
  { key }: Pick<InspectedFile, 'key'>,
  notes: ReadonlyMap<string, Uint8Array>,
): string | undefined {
  const note = notes.get(`${fileNotes}${key}`);
  if (note === undefined) return undefined;
  try {
    const name = decodeRecord(0, key, note).place?.name;
    // What a damaged log says must not lead out of the target.
    return name === undefined || /[/\0]|^\.{0,2}$/.test(name)
      ? undefined
      : Buffer.from(name, 'latin1').toString('utf8');
  } catch {
    return undefined;
  }
}

async function put(target: string, output: Output, { offset, data }: SalvagedRange): Promise<void> {
  const path = join(target, output.savedAs);
  const file = await open(path, openFlags, 0o600).catch((error: unknown) => notKept(path, error));
  try {
    for (let done = 0; done < data.length; ) {
      done += (await file.write(data, done, data.length - done, offset + done)).bytesWritten;
    }
  } catch (error) {
    notKept(path, error);
  } finally {
    await file.close();
  }
  add(output.ranges, offset, data.length);
}

async function setSize(path: string, size: number): Promise<void> {
  const file = await open(path, openFlags, 0o600).catch((error: unknown) => notKept(path, error));
  try {
    await file.truncate(size);
    await file.sync();
  } catch (error) {
    notKept(path, error);
  } finally {
    await file.close();
  }
}

function add(ranges: Range[], offset: number, count: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.count === offset) last.count += count;
  else ranges.push({ offset, count });
}

/** The system's error of an open file names no path. */
function notKept(path: string, error: unknown): never {
  const code = systemCode(error);
  if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') throw error;
  throw new ViaductError('DISK_FULL', {
    cause: `${path} cannot be written: ${error instanceof Error ? error.message : code}.`,
    remedy:
      'Name a directory on a disk with more room (`viaduct log show` says how much it needs). What was begun is removed again; the dirty log is as it was.',
    from: error,
  });
}

/** Returns the directories that were not there before, the uppermost first. */
async function makeEmpty(target: string): Promise<string[]> {
  const made = makeTarget(target);
  if ((await readdir(target)).length === 0) return made;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${target} is not empty.`,
    remedy: 'Name a directory that is empty or not there yet: nothing is written over.',
  });
}

function makeTarget(target: string): string[] {
  try {
    return makeDirectory(target, 0o700);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOTDIR' && code !== 'EEXIST' && code !== 'ENOENT') throw error;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause:
        code === 'ENOENT'
          ? `${target} cannot be made: no directory can be made there.`
          : `${target} is not a directory, or lies below a file.`,
      remedy: 'Name a directory that is empty or not there yet.',
      from: error,
    });
  }
}

/** It was empty before. */
async function emptyOut(target: string): Promise<void> {
  for (const name of await readdir(target)) await unlink(join(target, name));
}

/** What holds something stays. */
function removeEmpty(made: readonly string[]): void {
  for (const directory of made.toReversed()) {
    try {
      rmdirSync(directory);
    } catch {
      return;
    }
  }
}
