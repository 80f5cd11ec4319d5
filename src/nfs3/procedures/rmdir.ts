/** RMDIR: remove an empty directory (RFC 1813 3.3.13). */
import type { Place, RemoveReply } from '../../vfs/mod.ts';
import { refuseWithDirectoryWcc, removeReply } from '../bodies.ts';
import { place } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';

export const rmdir: Nfs3Procedure<Place, RemoveReply> = {
  number: 13,
  name: 'RMDIR',
  idempotent: false,
  arguments: place,
  reply: removeReply,
  refuse: refuseWithDirectoryWcc,
};
