/** REMOVE: take a name from a directory (RFC 1813 3.3.12). */
import type { Place, RemoveReply } from '../../vfs/mod.ts';
import { refuseWithDirectoryWcc, removeReply } from '../bodies.ts';
import { place } from '../names.ts';
import type { Nfs3Procedure } from '../procedure.ts';

export const remove: Nfs3Procedure<Place, RemoveReply> = {
  number: 12,
  name: 'REMOVE',
  idempotent: false,
  arguments: place,
  reply: removeReply,
  refuse: refuseWithDirectoryWcc,
};
