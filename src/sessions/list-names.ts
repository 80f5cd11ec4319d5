/** The names in a directory. */
import type { Call, FileHandle, Filesystem, Name } from '../vfs/mod.ts';

const pageBytes = 32 * 1024;
/** Some 100,000 names. */
const mostPages = 256;

/** Without `.` and `..`; undefined if they cannot be had, or are too many. */
export async function listNames(
  filesystem: Filesystem,
  call: Call,
  directory: FileHandle,
): Promise<Name[] | undefined> {
  const names: Name[] = [];
  let cookie = 0n;
  let cookieVerifier = '\0'.repeat(8);
  for (let page = 0; page < mostPages; page++) {
    const args = { directory, cookie, cookieVerifier, directoryBytes: pageBytes, replyBytes: pageBytes };
    const reply = await filesystem.readdir(call, args);
    if (reply.status !== 0) return undefined;
    for (const entry of reply.entries) {
      cookie = entry.cookie;
      if (entry.name !== '.' && entry.name !== '..') names.push(entry.name);
    }
    if (reply.eof || reply.entries.length === 0) return names;
    ({ cookieVerifier } = reply);
  }
  return undefined;
}
