/** The 22 procedures of NFSv3 (RFC 1813 3.3), by their names in the `Filesystem` contract. */
import { access } from './procedures/access.ts';
import { commit } from './procedures/commit.ts';
import { create } from './procedures/create.ts';
import { fsinfo } from './procedures/fsinfo.ts';
import { fsstat } from './procedures/fsstat.ts';
import { getattr } from './procedures/getattr.ts';
import { link } from './procedures/link.ts';
import { lookup } from './procedures/lookup.ts';
import { mkdir } from './procedures/mkdir.ts';
import { mknod } from './procedures/mknod.ts';
import { nullProcedure } from './procedures/null.ts';
import { pathconf } from './procedures/pathconf.ts';
import { read } from './procedures/read.ts';
import { readdir } from './procedures/readdir.ts';
import { readdirplus } from './procedures/readdirplus.ts';
import { readlink } from './procedures/readlink.ts';
import { remove } from './procedures/remove.ts';
import { rename } from './procedures/rename.ts';
import { rmdir } from './procedures/rmdir.ts';
import { setattr } from './procedures/setattr.ts';
import { symlink } from './procedures/symlink.ts';
import { write } from './procedures/write.ts';

export const procedures = {
  null: nullProcedure,
  getattr,
  setattr,
  lookup,
  access,
  readlink,
  read,
  write,
  create,
  mkdir,
  symlink,
  mknod,
  remove,
  rmdir,
  rename,
  link,
  readdir,
  readdirplus,
  fsstat,
  fsinfo,
  pathconf,
  commit,
} as const;
