/**
 * Writes what a dirty log holds into ordinary files.
 *
 *     TARGET/disk.raw         sparse, as long as the file was; changes in their places
 *     TARGET/disk.raw.7       another file of that name (7: its number in the log)
 *     TARGET/salvage.json     for each: name, handle, which ranges are changes, which were lost
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, ViaductError } from '../base/mod.ts';
import { type InspectedFile, type SalvagedRange, salvageLog, systemLogDirectory } from '../dirty/mod.ts';
import { decodeRecord, fileNotes } from '../layers/mod.ts';

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

interface Output {
  readonly file: InspectedFile;
  readonly name: string | undefined;
  readonly savedAs: string;
  readonly ranges: Range[];
  readonly lost: Range[];
}

/** Undefined: there is no log. Nothing is written over. */
export async function salvageInto(directory: string, target: string, clock: Clock): Promise<Salvaged[] | undefined> {
  await makeEmpty(target);
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
  const { identity } = result.log;
  await writeFile(join(target, 'salvage.json'), `${JSON.stringify({ identity, files: salvaged }, undefined, 2)}\n`);
  return salvaged;
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
  const file = await open(join(target, output.savedAs), openFlags, 0o600);
  try {
    for (let done = 0; done < data.length; ) {
      done += (await file.write(data, done, data.length - done, offset + done)).bytesWritten;
    }
  } finally {
    await file.close();
  }
  add(output.ranges, offset, data.length);
}

async function setSize(path: string, size: number): Promise<void> {
  const file = await open(path, openFlags, 0o600);
  try {
    await file.truncate(size);
    await file.sync();
  } finally {
    await file.close();
  }
}

function add(ranges: Range[], offset: number, count: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.count === offset) last.count += count;
  else ranges.push({ offset, count });
}

async function makeEmpty(target: string): Promise<void> {
  await mkdir(target, { recursive: true, mode: 0o700 });
  if ((await readdir(target)).length === 0) return;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${target} is not empty.`,
    remedy: 'Name a directory that is empty or not there yet: nothing is written over.',
  });
}
