/**
 * What ACCESS grants when nothing is ever written back: who may read a file may write it here; names stay as they are.
 * (QEMU opens a memory file read-write even for a private mapping.)
 */
import { chain, type Eventual } from '../../base/mod.ts';
import * as vfs from '../../vfs/mod.ts';

const { Access } = vfs;
const changing = Access.MODIFY | Access.EXTEND;

export function redirectedAccess(
  next: vfs.Filesystem,
  call: vfs.Call,
  args: vfs.AccessArguments,
): Eventual<vfs.AccessReply> {
  if ((args.access & (changing | Access.DELETE)) === 0) return next.access(call, args);
  const asked = { object: args.object, access: args.access | Access.READ };
  return chain(next.access(call, asked), (reply) => {
    if (reply.status !== 0) return reply;
    const got = reply.attributes ?? chain(next.getattr(call, { object: args.object }), attributesOf);
    return chain(got, (attributes) => {
      const isRegular = attributes?.type === vfs.FileType.REGULAR;
      const mayRead = (reply.access & Access.READ) !== 0;
      const kept = reply.access & ~(changing | Access.DELETE);
      const access = (isRegular && mayRead ? kept | changing : kept) & args.access;
      return { status: 0, attributes: reply.attributes, access };
    });
  });
}

function attributesOf(reply: vfs.GetattrReply): vfs.Attributes | undefined {
  return reply.status === 0 ? reply.attributes : undefined;
}
