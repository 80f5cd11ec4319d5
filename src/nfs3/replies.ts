/**
 * Replies that a server should not give: the client refuses them as IO rather than let a wrong length or name reach a cache.
 * Each function answers what is wrong, or undefined.
 */
import { limits } from '../base/mod.ts';
import type {
  DirectoryEntry,
  LookupReply,
  ReadArguments,
  ReaddirReply,
  ReadReply,
  WriteArguments,
  WriteReply,
} from '../vfs/mod.ts';

export function wrongLookup(reply: LookupReply): string | undefined {
  return reply.status === 0 && reply.object.length === 0 ? 'a handle without bytes' : undefined;
}

/** A READ that is neither at the end nor gives a byte would be asked again for ever (RFC 1813 3.3.6). */
export function wrongRead(args: ReadArguments, reply: ReadReply): string | undefined {
  if (reply.status !== 0) return undefined;
  let length = 0;
  for (let i = 0; i < reply.data.length; i++) length += reply.data[i]!.length;
  if (length !== reply.count) return `count ${reply.count} with ${length} bytes of data`;
  if (length > args.count) return `${length} bytes where ${args.count} were asked for`;
  if (length === 0 && args.count > 0 && !reply.eof) return 'no bytes, and not the end of the file';
  return undefined;
}

/** committed is at least as stable as asked for (RFC 1813 3.3.7). */
export function wrongWrite(args: WriteArguments, reply: WriteReply): string | undefined {
  if (reply.status !== 0) return undefined;
  if (reply.count > args.count) return `${reply.count} bytes written of ${args.count}`;
  if (reply.count === 0 && args.count > 0) return 'success without a byte written';
  if (reply.committed < args.stable) return `committed ${reply.committed} where ${args.stable} was asked for`;
  return undefined;
}

export function wrongReaddir(reply: ReaddirReply<DirectoryEntry>): string | undefined {
  if (reply.status !== 0) return undefined;
  if (reply.entries.length === 0 && !reply.eof) return 'a page without entries that is not the last';
  for (let i = 0; i < reply.entries.length; i++) {
    const { name } = reply.entries[i]!;
    if (name.length === 0 || name.length > limits.nameBytes || name.includes('/') || name.includes('\0')) {
      return `the name ${JSON.stringify(name)} in a directory`;
    }
  }
  return undefined;
}
