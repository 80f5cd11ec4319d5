/** write(2) in threads, until all is written; and parts of what is to be written. */
import * as nodeFs from 'node:fs';
import type { Payload } from '../../vfs/mod.ts';
import { errnoOf } from './status.ts';

/** Bytes written, or a negative errno if none could be. */
export async function writeAll(fd: number, data: Payload, offset: number): Promise<number> {
  let done = 0;
  let rest = data;
  for (;;) {
    const result = await writeOnce(fd, rest, offset + done);
    if (result < 0) return done > 0 ? done : result;
    done += result;
    rest = without(rest, result);
    if (rest.length === 0 || result === 0) return done;
  }
}

function writeOnce(fd: number, data: Payload, offset: number): Promise<number> {
  return new Promise((resolve) => {
    const done = (error: NodeJS.ErrnoException | null, bytes: number): void => resolve(error ? errnoOf(error) : bytes);
    if (data.length === 1) nodeFs.write(fd, data[0]!, 0, data[0]!.length, offset, done);
    else nodeFs.writev(fd, data.slice(0, 1024), offset, done);
  });
}

/** What is left of the slices after `count` bytes. */
export function without(data: Payload, count: number): Payload {
  let index = 0;
  let rest = count;
  while (index < data.length && rest >= data[index]!.length) rest -= data[index++]!.length;
  if (rest === 0) return data.slice(index);
  return [data[index]!.subarray(rest), ...data.slice(index + 1)];
}

/** The first `count` bytes of the slices, or all if there are fewer. */
export function first(data: Payload, count: number): Payload {
  const taken: Uint8Array[] = [];
  for (let index = 0, left = count; left > 0 && index < data.length; index++) {
    const part = data[index]!.subarray(0, left);
    taken.push(part);
    left -= part.length;
  }
  return taken;
}
