/** NFSv3 calls as bytes, and the files that tests of bad input aim them at. */

import { type Nfs3Procedure, nfsProgram, procedures } from '../../src/nfs3/mod.ts';
import { rawCall, sysBody } from '../../src/testing/mod.ts';
import { type FileHandle, FileType } from '../../src/vfs/mod.ts';
import { XdrWriter } from '../../src/xdr/mod.ts';

const authSys = 1;

/** A call message of NFSv3 with hand-made arguments, by `uid`. */
export function nfsCall(xid: number, procedure: number, body: Buffer, uid = 0): Buffer {
  const credential = sysBody(uid, uid);
  return rawCall({ ...nfsProgram, xid, procedure, flavor: authSys, credential, arguments: body });
}

export function encoded<A, R>(procedure: Nfs3Procedure<A, R>, args: A): Buffer {
  const writer = new XdrWriter();
  procedure.arguments.encode(writer, args);
  return Buffer.concat(writer.take());
}

export interface Targets {
  readonly directory: FileHandle;
  readonly file: FileHandle;
  readonly link: FileHandle;
}

/** Arguments of each of the 21 procedures that have some, on these files. Names that are made or removed begin with `victim`. */
export function argumentsOfAll({ directory, file, link }: Targets): [procedure: number, body: Buffer][] {
  const set = { mode: 0o600, uid: 0, gid: 0, mtime: 'server' } as const;
  const where = { directory, name: 'victim' };
  const object = file;
  const data = [Buffer.alloc(24, 0x77)];
  const listing = { directory, cookie: 0n, cookieVerifier: '\0'.repeat(8), directoryBytes: 4096, replyBytes: 8192 };
  const device = { deviceMajor: 0, deviceMinor: 0 };
  const p = procedures;
  return [
    [1, encoded(p.getattr, { object })],
    [2, encoded(p.setattr, { object, set: { mode: 0o644 }, guard: { seconds: 1, nanoseconds: 2 } })],
    [3, encoded(p.lookup, where)],
    [4, encoded(p.access, { object, access: 63 })],
    [5, encoded(p.readlink, { object: link })],
    [6, encoded(p.read, { object, offset: 0, count: 4096 })],
    [7, encoded(p.write, { object, offset: 0, count: 24, stable: 0, data })],
    [8, encoded(p.create, { where, how: { mode: 'unchecked', set } })],
    [9, encoded(p.mkdir, { where, set })],
    [10, encoded(p.symlink, { where, set, target: 'nowhere' })],
    [11, encoded(p.mknod, { where, type: FileType.FIFO, set, ...device })],
    [12, encoded(p.remove, where)],
    [13, encoded(p.rmdir, where)],
    [14, encoded(p.rename, { from: where, to: { directory, name: 'victim2' } })],
    [15, encoded(p.link, { object, where })],
    [16, encoded(p.readdir, listing)],
    [17, encoded(p.readdirplus, listing)],
    [18, encoded(p.fsstat, { object })],
    [19, encoded(p.fsinfo, { object })],
    [20, encoded(p.pathconf, { object })],
    [21, encoded(p.commit, { object, offset: 0, count: 0 })],
  ];
}

/** What a reply says, as words behind the xid. */
export interface Spoken {
  readonly accepted: boolean;
  /** accept_stat (RFC 5531 9), or reject_stat. */
  readonly outcome: number;
  /** The words of the result. */
  readonly result: readonly number[];
}

export function spoken(words: readonly number[]): Spoken {
  const accepted = words[2] === 0;
  if (!accepted) return { accepted, outcome: words[3]!, result: words.slice(4) };
  // The verifier: flavor, length and its body.
  const status = 5 + Math.ceil(words[4]! / 4);
  return { accepted, outcome: words[status]!, result: words.slice(status + 1) };
}
