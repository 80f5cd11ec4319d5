/** Makes a page of a directory keep the byte limits of the call (RFC 1813 3.3.16, 3.3.17), whatever the `Filesystem` gave. */
import {
  type DirectoryEntry,
  type DirectoryEntryPlus,
  type ReaddirArguments,
  type ReaddirReply,
  Status,
} from '../vfs/mod.ts';
import { entryBytes, nameInformationBytes, readdirOverheadBytes } from './procedures/readdir.ts';
import { entryPlusBytes } from './procedures/readdirplus.ts';

type Page<Entry extends DirectoryEntry> = ReaddirReply<Entry>;

/** READDIR's count is the size of the whole READDIR3resok. */
export function trimReaddir(args: ReaddirArguments, reply: Page<DirectoryEntry>): Page<DirectoryEntry> {
  if (reply.status !== 0) return reply;
  let left = args.directoryBytes - readdirOverheadBytes(reply);
  let fitting = 0;
  while (fitting < reply.entries.length) {
    left -= entryBytes(reply.entries[fitting]!);
    if (left < 0) break;
    fitting++;
  }
  return firstEntries(reply, fitting, left);
}

/** READDIRPLUS: maxcount is the size of the whole READDIRPLUS3resok, dircount that of fileids, names and cookies. */
export function trimReaddirplus(args: ReaddirArguments, reply: Page<DirectoryEntryPlus>): Page<DirectoryEntryPlus> {
  if (reply.status !== 0) return reply;
  let replyLeft = args.replyBytes - readdirOverheadBytes(reply);
  let namesLeft = args.directoryBytes;
  let fitting = 0;
  while (fitting < reply.entries.length) {
    const entry = reply.entries[fitting]!;
    replyLeft -= entryPlusBytes(entry);
    namesLeft -= nameInformationBytes(entry);
    if (replyLeft < 0 || namesLeft < 0) break;
    fitting++;
  }
  return firstEntries(reply, fitting, Math.min(replyLeft, namesLeft));
}

function firstEntries<Entry extends DirectoryEntry>(
  reply: Page<Entry> & { readonly status: 0 },
  fitting: number,
  left: number,
): Page<Entry> {
  if (fitting === reply.entries.length && (fitting > 0 || left >= 0)) return reply;
  if (fitting === 0) return { status: Status.TOOSMALL, directoryAttributes: reply.directoryAttributes };
  return { ...reply, entries: reply.entries.slice(0, fitting), eof: false };
}
