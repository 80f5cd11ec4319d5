/**
 * What a directory origin keeps beside the export: `handle-key`, 32 secret bytes that handles are signed with (mode 0600), made
 * once and written so that it is whole or absent after a crash. Losing it makes all handles STALE.
 */
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Random, systemCode, ViaductError } from '../../base/mod.ts';
import { makeDirectory } from '../../native/mod.ts';

const keyBytes = 32;

export function loadKey(stateDirectory: string, random: Random): Buffer {
  const path = join(stateDirectory, 'handle-key');
  try {
    makeDirectory(stateDirectory, 0o700);
    const key = readIfThere(path);
    if (key === undefined) return makeKey(stateDirectory, path, random);
    if (key.length === keyBytes) return key;
  } catch (error) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `The state directory ${stateDirectory} cannot be used: ${String(error)}`,
      remedy: 'Name a directory that this user may create or write to.',
      from: error,
    });
  }
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${path} is not ${keyBytes} bytes long: it is damaged or of another program.`,
    remedy: 'Restore it, or remove it: then clients must mount again, since the handles that they hold become stale.',
  });
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function makeKey(directory: string, path: string, random: Random): Buffer {
  const key = Buffer.alloc(keyBytes);
  random.bytes(key);
  const temporary = `${path}.${process.pid}.${random.uint32().toString(16)}`;
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(fd, key);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  // link(2) never replaces: of two processes that start together, one makes the key and both use it.
  const first = linkIfNew(temporary, path);
  unlinkSync(temporary);
  const directoryFd = openSync(directory, 'r');
  try {
    fsyncSync(directoryFd);
  } finally {
    closeSync(directoryFd);
  }
  return first ? key : readFileSync(path);
}

function linkIfNew(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}
