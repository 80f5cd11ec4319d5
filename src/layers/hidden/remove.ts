/**
 * RMDIR of a directory in which only content meta-data is left: to an ordinary client it is empty, so the meta-data goes with it.
 *
 *     NOTEMPTY ──nothing but `.viaduct`──► its files ──► `.viaduct` ──► the directory         anything else: NOTEMPTY stays
 *
 * Invariant: only files in `.viaduct` are removed, and only when the directory held nothing else a moment ago. What is lost if
 * something comes into the directory meanwhile can be made again.
 */
import { contentDirectory } from '../../content/mod.ts';
import { type Call, type FileHandle, type Filesystem, FileType, type Place, type RemoveReply } from '../../vfs/mod.ts';

const pageBytes = 64 * 1024;
/** Pages of one listing: some hundred thousand names. */
const mostPages = 256;
const noVerifier = '\0'.repeat(8);

export async function removeWithContent(
  next: Filesystem,
  call: Call,
  place: Place,
  refusal: RemoveReply,
): Promise<RemoveReply> {
  const directory = await find(next, call, place);
  if (directory === undefined) return refusal;
  const names = await list(next, call, directory);
  if (names?.length !== 1 || names[0] !== contentDirectory) return refusal;
  const content = await find(next, call, { directory, name: contentDirectory });
  const files = content && (await list(next, call, content));
  if (content === undefined || files === undefined) return refusal;
  for (const name of files) {
    const removed = await next.remove(call, { directory: content, name });
    if (removed.status !== 0) return refusal;
  }
  const removed = await next.rmdir(call, { directory, name: contentDirectory });
  return removed.status === 0 ? next.rmdir(call, place) : refusal;
}

/** The handle of a directory. */
async function find(next: Filesystem, call: Call, place: Place): Promise<FileHandle | undefined> {
  const found = await next.lookup(call, place);
  if (found.status !== 0) return undefined;
  const known = await next.getattr(call, { object: found.object });
  return known.status === 0 && known.attributes.type === FileType.DIRECTORY ? found.object : undefined;
}

/** All names but `.` and `..`; undefined if they cannot be had. */
async function list(next: Filesystem, call: Call, directory: FileHandle): Promise<string[] | undefined> {
  const names: string[] = [];
  let cookie = 0n;
  let cookieVerifier = noVerifier;
  for (let pages = 0; pages < mostPages; pages++) {
    const asked = { directory, cookie, cookieVerifier, directoryBytes: pageBytes, replyBytes: pageBytes };
    const page = await next.readdir(call, asked);
    if (page.status !== 0) return undefined;
    for (const { name } of page.entries) if (name !== '.' && name !== '..') names.push(name);
    if (page.eof) return names;
    const end = page.entries[page.entries.length - 1];
    if (end === undefined) return undefined;
    cookie = end.cookie;
    cookieVerifier = page.cookieVerifier;
  }
  return undefined;
}
