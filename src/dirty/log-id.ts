/** Which log lies in a directory: a new one in its place is another. */
import { type Clock, systemCode } from '../base/mod.ts';
import { decodeSegment, firstPosition, segmentName, segmentNumber } from './format.ts';
import { systemLogDirectory } from './system-directory.ts';

/** `none`: nothing of a log is here. `unknown`: no header of its segments is whole. */
export type LogId = 'none' | 'unknown' | { readonly uuid: string };

export async function logId(path: string, clock: Clock): Promise<LogId> {
  const directory = await systemLogDirectory(path, { clock, isReadOnly: true });
  try {
    const names = (await unlessGone(directory.list())) ?? [];
    const numbers = names.map(segmentNumber).filter((number) => number !== undefined);
    for (const number of numbers.sort((a, b) => b - a)) {
      const file = await unlessGone(directory.open(segmentName(number)));
      if (file === undefined) continue;
      const header = decodeSegment(await file.read(0, firstPosition));
      await file.close();
      if (header.kind === 'good') return { uuid: Buffer.from(header.header.uuid).toString('hex') };
    }
    return numbers.length === 0 ? 'none' : 'unknown';
  } finally {
    await directory.close();
  }
}

async function unlessGone<Result>(asked: Promise<Result>): Promise<Result | undefined> {
  try {
    return await asked;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
