/**
 * The text of a configuration file: bounded, UTF-8, from a regular file. Each way in which that fails has a cause and a remedy of its own.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { formatSize, limits, systemCode, ViaductError } from '../base/mod.ts';

/** Rejects with CONFIGURATION_INVALID. */
export async function readText(file: string): Promise<string> {
  // A pipe that nobody writes to would hold us for ever.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw unreadable(file, error);
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) {
      const what = stat.isDirectory() ? 'a directory' : 'not a regular file';
      throw invalid(
        `${file} is ${what}.`,
        `Name the file itself, for example ${file.replace(/\/*$/, '')}/viaduct.yaml.`,
      );
    }
    const bytes = Buffer.alloc(limits.configurationBytes + 1);
    let size = 0;
    while (size < bytes.length) {
      const { bytesRead } = await handle.read(bytes, size, bytes.length - size, size);
      if (bytesRead === 0) break;
      size += bytesRead;
    }
    if (size > limits.configurationBytes) {
      throw invalid(
        `${file} is larger than ${formatSize(limits.configurationBytes)} (${formatSize(Math.max(stat.size, size))}).`,
        'Make sure that it is the configuration; a thousand sessions take about 200 KiB.',
      );
    }
    return decode(file, bytes.subarray(0, size));
  } catch (error) {
    throw error instanceof ViaductError ? error : unreadable(file, error);
  } finally {
    await handle.close();
  }
}

function decode(file: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const { line, byte } = firstBadByte(bytes);
    throw invalid(
      `${file} is not UTF-8 in line ${line} (byte ${byte} of the file).`,
      'Save it as UTF-8; `iconv -f LATIN1 -t UTF-8` converts a file in Latin-1.',
    );
  }
}

/** The longest beginning that is UTF-8 ends before it. */
function firstBadByte(bytes: Buffer): { line: number; byte: number } {
  let low = 0;
  let high = bytes.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (isValid(bytes.subarray(0, middle), true)) low = middle;
    else high = middle - 1;
  }
  // It may have begun a character that does not go on.
  while (low > 0 && !isValid(bytes.subarray(0, low), false)) low--;
  const line = bytes.subarray(0, low).reduce((count, byte) => count + (byte === 10 ? 1 : 0), 1);
  return { line, byte: low + 1 };
}

/** `stream`: though the last character be cut off. */
function isValid(bytes: Buffer, stream: boolean): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream });
    return true;
  } catch {
    return false;
  }
}

function unreadable(file: string, error: unknown): ViaductError {
  switch (systemCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return invalid(
        `${file} is not there.`,
        'Name the file that is meant, or write one: docs/configuration.md has an example.',
        error,
      );
    case 'EACCES':
    case 'EPERM':
      return invalid(
        `${file} may not be read by this user.`,
        'Run as a user who may, or change the mode of the file.',
        error,
      );
    default:
      return invalid(
        `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        'Check the path and its disk.',
        error,
      );
  }
}

function invalid(cause: string, remedy: string, from?: unknown): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', { cause, remedy, from });
}
