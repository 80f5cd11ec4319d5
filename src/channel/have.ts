/**
 * HAVE and WRITE_REF: data that the server has already need not be sent.
 *
 *     HAVE        near | digests                                      status | bitmap: which of them it could find now
 *     WRITE_REF   wcc_attr *expected | handle near stable | (offset(8) digest)*       WRITE3res | bitmap: which of them are written
 *
 * The server fills sectors from files of its own. Invariants: it reads them as the caller, so nobody gets or learns of content that he
 * may not read; it writes only bytes whose digest it has just computed; what it did not find is not written, and the bitmap says so.
 */

import { chunkBytes, digestBytes } from '../content/mod.ts';
import { checkWrite, type Nfs3Procedure, procedures, readHandle, readStatus, refuseWithWcc } from '../nfs3/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { type Codec, XdrError } from '../xdr/mod.ts';
import { Bitmap, bitmapBytes } from './bitmap.ts';
import { optionalCondition } from './conditional.ts';
import { findChunk, readableChunks } from './find-chunk.ts';
import { channelProgram, wireLimits } from './protocol.ts';

export interface HaveReply extends vfs.HaveReply {
  readonly found: Bitmap;
}

export interface Reference {
  /** A multiple of 4096; the sector there becomes the chunk. */
  readonly offset: number;
  readonly digest: Uint8Array;
}
export interface ReferenceWrite extends Omit<vfs.WriteArguments, 'offset' | 'count' | 'data'> {
  readonly near: vfs.FileHandle;
  /** In rising order of their offsets. */
  readonly references: readonly Reference[];
}
export interface ReferenceReply {
  /** `count`: bytes written; 0 if none was found. */
  readonly reply: vfs.WriteReply;
  readonly written: Bitmap;
  readonly status: 0 | vfs.Failure;
}

const digest: Codec<Uint8Array> = {
  encode(writer, value) {
    if (value.length !== digestBytes) throw new XdrError(`a digest of ${value.length} bytes`);
    writer.fixedOpaque(value);
  },
  decode: (reader) => Buffer.from(reader.fixedBinaryString(digestBytes), 'latin1'),
};

export const have: Nfs3Procedure<vfs.HaveArguments, HaveReply> = {
  program: channelProgram,
  number: 12,
  name: 'HAVE',
  idempotent: true,
  arguments: {
    encode(writer, { near, digests }) {
      if (digests.length > wireLimits.digests) throw new XdrError(`${digests.length} digests`);
      writer.binaryString(near);
      writer.uint32(digests.length);
      for (const value of digests) digest.encode(writer, value);
    },
    decode(reader) {
      const near = readHandle(reader);
      const count = reader.uint32();
      if (count > wireLimits.digests) throw new XdrError(`${count} digests`);
      const digests: Uint8Array[] = [];
      for (let i = 0; i < count; i++) digests.push(digest.decode(reader));
      return { near, digests };
    },
  },
  reply: {
    encode(writer, { status, found }) {
      writer.uint32(status);
      writer.opaque(found.bytes);
    },
    decode: (reader) => ({
      status: readStatus(reader),
      found: new Bitmap(reader.opaque(bitmapBytes(wireLimits.digests))),
    }),
  },
  refuse: (status) => ({ status, found: Bitmap.of(0) }),
};

export const writeReferences: Nfs3Procedure<ReferenceWrite, ReferenceReply> = {
  program: channelProgram,
  number: 13,
  name: 'WRITE_REF',
  idempotent: true,
  arguments: {
    encode(writer, { object, near, stable, expected, references }) {
      if (references.length > wireLimits.references) throw new XdrError(`${references.length} references`);
      optionalCondition.encode(writer, expected);
      writer.binaryString(object);
      writer.binaryString(near);
      writer.uint32(stable);
      writer.uint32(references.length);
      for (const reference of references) {
        writer.size64(reference.offset);
        digest.encode(writer, reference.digest);
      }
    },
    decode(reader) {
      const expected = optionalCondition.decode(reader);
      const object = readHandle(reader);
      const near = readHandle(reader);
      const stable = reader.enumeration(2) as vfs.StabilityCode;
      const count = reader.uint32();
      if (count > wireLimits.references) throw new XdrError(`${count} references`);
      const references: Reference[] = [];
      for (let i = 0; i < count; i++) references.push({ offset: reader.size64(), digest: digest.decode(reader) });
      return { object, near, stable, expected, references };
    },
  },
  reply: {
    encode(writer, { reply, written }) {
      procedures.write.reply.encode(writer, reply);
      writer.opaque(written.bytes);
    },
    decode(reader) {
      const reply = procedures.write.reply.decode(reader);
      return { reply, status: reply.status, written: new Bitmap(reader.opaque(bitmapBytes(wireLimits.references))) };
    },
  },
  refuse: (status) => ({ reply: refuseWithWcc(status), status, written: Bitmap.of(0) }),
};

export function checkHave({ near, digests }: vfs.HaveArguments): vfs.Failure | 0 {
  if (near.length === 0) return vfs.Status.BADHANDLE;
  return digests.length === 0 ? vfs.Status.INVAL : 0;
}

export function checkReferences({ object, near, references }: ReferenceWrite): vfs.Failure | 0 {
  if (object.length === 0 || near.length === 0) return vfs.Status.BADHANDLE;
  let end = 0;
  for (const { offset } of references) {
    if (offset % chunkBytes !== 0 || offset < end) return vfs.Status.INVAL;
    end = offset + chunkBytes;
  }
  return references.length === 0 ? vfs.Status.INVAL : 0;
}

/** At the server. */
export async function performHave(
  filesystem: vfs.Filesystem,
  source: vfs.ChunkSource,
  call: vfs.Call,
  { near, digests }: vfs.HaveArguments,
): Promise<HaveReply> {
  await source.prepare(call, near);
  const isReadable = readableChunks(filesystem, call);
  const found = Bitmap.of(digests.length);
  for (let i = 0; i < digests.length; i++) {
    for (const { object } of source.find(digests[i]!)) {
      if (!(await isReadable(object))) continue;
      found.set(i);
      break;
    }
  }
  return { status: 0, found };
}

/** At the server: one WRITE, of the first sectors, as far as they follow each other and are found; so its reply is that of one change. */
export async function performWriteReferences(
  filesystem: vfs.Filesystem,
  source: vfs.ChunkSource,
  call: vfs.Call,
  { object, near, stable, expected, references }: ReferenceWrite,
): Promise<ReferenceReply> {
  await source.prepare(call, near);
  const chunks = await Promise.all(references.map(({ digest: wanted }) => findChunk(filesystem, source, call, wanted)));
  const written = Bitmap.of(references.length);
  const run = firstRun(references, chunks);
  if (run.length === 0) return { reply: nothing, status: 0, written };
  const args = { object, offset: references[0]!.offset, count: run.length * chunkBytes, stable, data: run, expected };
  const wrong = checkWrite(args);
  const reply = wrong === 0 ? await filesystem.write(call, args) : refuseWithWcc(wrong);
  if (reply.status !== 0) return { reply, status: reply.status, written };
  for (let i = 0; i < Math.floor(reply.count / chunkBytes); i++) written.set(i);
  return { reply, status: 0, written };
}

const nothing = {
  status: 0,
  wcc: {},
  count: 0,
  committed: vfs.Stability.FILE_SYNC,
  verifier: '\0'.repeat(8),
} as const;

function firstRun(references: readonly Reference[], chunks: readonly (Uint8Array | undefined)[]): Uint8Array[] {
  const run: Uint8Array[] = [];
  const first = references[0]!.offset;
  for (const [i, chunk] of chunks.entries()) {
    if (chunk === undefined || references[i]!.offset !== first + i * chunkBytes) break;
    run.push(chunk);
  }
  return run;
}
