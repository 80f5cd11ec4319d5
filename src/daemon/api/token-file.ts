/**
 * The token of the API over TCP: 256 bits in a file that only its owner can read, made when it is missing. Whoever can read the file may
 * do all that the daemon does, and whoever owns it knows or chooses what is in it: the daemon's user, or root.
 */
import { chmodSync, closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Random, systemCode, ViaductError } from '../../base/mod.ts';
import { makeDirectory } from '../../native/mod.ts';

const shortest = 16;
const longestBytes = 4096;

export function tokenFrom(file: string, { random, uid }: { readonly random: Random; readonly uid: number }): string {
  try {
    return readToken(file, uid);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw failed(file, error);
  }
  try {
    makeDirectory(dirname(file), 0o700);
    writeToken(file, Buffer.from(random.bytes(new Uint8Array(32))).toString('base64url'));
  } catch (error) {
    // Another daemon made it in this moment.
    if (systemCode(error) !== 'EEXIST') throw failed(file, error);
  }
  try {
    return readToken(file, uid);
  } catch (error) {
    throw failed(file, error);
  }
}

function readToken(file: string, uid: number): string {
  // A pipe would be waited for.
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = fstatSync(descriptor);
    const { mode, size } = found;
    if (!found.isFile()) throw invalid(`${file} is not a regular file`, 'Name a file; the daemon makes it.');
    if (found.uid !== uid && found.uid !== 0)
      throw invalid(
        `${file} belongs to another user (uid ${found.uid}), who knows the token`,
        'Remove the file: the daemon then makes one with a new token.',
      );
    if ((mode & 0o077) !== 0) throw invalid(`${file} can be read by others than its owner`, `Run: chmod 600 ${file}`);
    const text = size > longestBytes ? '' : readFileSync(descriptor, 'utf8').trim();
    if (text.length >= shortest && /^[\x21-\x7e]+$/.test(text)) return text;
    throw invalid(
      `${file} holds no token: it must be one word of at least ${shortest} printable ASCII characters`,
      'Remove the file: the daemon then makes one with a new token.',
    );
  } finally {
    closeSync(descriptor);
  }
}

function writeToken(file: string, token: string): void {
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    writeSync(descriptor, `${token}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  chmodSync(file, 0o600);
}

function invalid(cause: string, remedy: string): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', { cause, remedy });
}

function failed(file: string, error: unknown): ViaductError {
  if (error instanceof ViaductError) return error;
  const code = systemCode(error) ?? String(error);
  return new ViaductError(code === 'EACCES' || code === 'EPERM' ? 'PRIVILEGE_NEEDED' : 'CONFIGURATION_INVALID', {
    cause: `the file ${file} with the token of the API cannot be read or made (${code})`,
    remedy: 'Name a file below a directory that the daemon’s user may write to (api: token-file).',
    from: error,
  });
}
