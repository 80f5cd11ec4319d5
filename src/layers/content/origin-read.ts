/** Reads a range of a file at the origin as one piece: several READs if it is long, more if the server answers short. */
import { limits } from '../../base/mod.ts';
import type { Attributes, Call, Failure, FileHandle, Filesystem } from '../../vfs/mod.ts';

export type RangeReply =
  | { readonly status: 0; readonly bytes: Uint8Array; readonly attributes: readonly (Attributes | undefined)[] }
  /** `end`: the file is shorter than the range. */
  | { readonly status: Failure | 'end' };

export async function readRange(
  next: Filesystem,
  call: Call,
  object: FileHandle,
  offset: number,
  count: number,
): Promise<RangeReply> {
  const parts: Promise<RangeReply>[] = [];
  for (let at = 0; at < count; at += limits.transferBytes) {
    parts.push(readPart(next, call, object, offset + at, Math.min(limits.transferBytes, count - at)));
  }
  const replies = await Promise.all(parts);
  const failed = replies.find((reply) => reply.status !== 0);
  if (failed !== undefined) return failed;
  const whole = replies.flatMap((reply) => (reply.status === 0 ? [reply] : []));
  if (whole.length === 1) return whole[0]!;
  const bytes = Buffer.concat(whole.map((reply) => reply.bytes));
  return { status: 0, bytes, attributes: whole.flatMap((reply) => reply.attributes) };
}

async function readPart(
  next: Filesystem,
  call: Call,
  object: FileHandle,
  offset: number,
  count: number,
): Promise<RangeReply> {
  const bytes = Buffer.allocUnsafe(count);
  const attributes: (Attributes | undefined)[] = [];
  for (let got = 0; got < count; ) {
    const reply = await next.read(call, { object, offset: offset + got, count: count - got });
    if (reply.status !== 0) return { status: reply.status };
    for (const slice of reply.data) {
      bytes.set(slice, got);
      got += slice.length;
    }
    reply.release?.();
    attributes.push(reply.attributes);
    if (got < count && (reply.eof || reply.count === 0)) return { status: 'end' };
  }
  return { status: 0, bytes, attributes };
}
