/**
 * A log's file on a disk that fails, for whoever saves what can be saved: sectors that cannot be read (EIO) read as bytes that no record
 * begins with and that verify as nothing, so that they are damage like any other, and no more is lost than they.
 */

import type { Eventual } from '../base/mod.ts';
import { isPromise, limits, systemCode } from '../base/mod.ts';
import type { LogFile } from './contract.ts';

const noByte = 0xff;

export function withoutReadErrors(file: LogFile): LogFile {
  return {
    size: file.size,
    write: (position, slices) => file.write(position, slices),
    read(position, length): Eventual<Uint8Array> {
      try {
        const bytes = file.read(position, length);
        return isPromise(bytes) ? bytes.catch((error) => sectorwise(file, position, length, error)) : bytes;
      } catch (error) {
        return sectorwise(file, position, length, error);
      }
    },
    dataAt: file.dataAt,
    datasync: () => file.datasync(),
    close: () => file.close(),
  };
}

async function sectorwise(file: LogFile, position: number, length: number, failure: unknown): Promise<Uint8Array> {
  if (systemCode(failure) !== 'EIO') throw failure;
  const end = Math.min(position + length, file.size);
  const bytes = Buffer.alloc(Math.max(0, end - position), noByte);
  for (let at = position; at < end; ) {
    const next = Math.min(end, (Math.floor(at / limits.sectorBytes) + 1) * limits.sectorBytes);
    const part = await sector(file, at, next - at);
    if (part !== undefined) bytes.set(part, at - position);
    at = next;
  }
  return bytes;
}

/** Undefined: it cannot be read. */
async function sector(file: LogFile, position: number, length: number): Promise<Uint8Array | undefined> {
  try {
    return await file.read(position, length);
  } catch (error) {
    if (systemCode(error) !== 'EIO') throw error;
    return undefined;
  }
}
