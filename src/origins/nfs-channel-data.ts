/**
 * What an NFS origin that is a Viaduct does beyond NFS: data in packed form, paths in one round trip, where files really are. On a plain
 * server, and on one that stops offering it, the answer is NOTSUPP, at once.
 *
 *     readVector, walk, identify     for layers that know of them
 *     writePacked                    instead of a WRITE that is worth packing: nobody above sees a difference
 *     publishWorkingSet              what was learned of a file
 *     have                           which data the server has already
 *     writeKnown                     instead of a WRITE of such data: nobody above sees a difference
 */
import {
  Bitmap,
  checkVector,
  Feature,
  type HaveReply,
  have,
  identity,
  looksCompressible,
  type PackedVectorReply,
  type PackedWrite,
  pack,
  publishWorkingSet,
  type ReferenceReply,
  type ReferenceWrite,
  readVector,
  type Sifted,
  sift,
  unpackVector,
  walk,
  wireLimits,
  writePacked,
  writeReferences,
  wrongWalk,
} from '../channel/mod.ts';
import { chunkBytes } from '../content/mod.ts';
import { type Nfs3Client, wrongWrite } from '../nfs3/mod.ts';
import * as vfs from '../vfs/mod.ts';

const { Status } = vfs;
/** Below it a WRITE is as good: it fits a few packets. */
const smallestPackedBytes = 8 * 1024;
/** Sent packed only if at least an eighth is left out before compression, or the sample says that compression helps. */
const zeroShare = 1 / 8;
const replyHeadBytes = 512;

export interface MeasuredVector {
  readonly reply: vfs.VectorReadReply;
  /** What crossed of the data. */
  readonly storedBytes: number;
}

export interface VectorCaller extends vfs.VectorReader {
  readVectorMeasured(call: vfs.Call, args: vfs.VectorReadArguments): Promise<MeasuredVector>;
}

export interface ChannelDataStats {
  /** Written by the server of what it had, without being sent. */
  readonly knownWriteBytes: number;
}

/** Whatever was done: the data is sent instead. */
const referenceFaults: ReadonlySet<number> = new Set([Status.INVAL, Status.IO, Status.SERVERFAULT]);

/** Exactly the sectors of the first `bytes`. */
function isFront(written: Bitmap, items: number, bytes: number): boolean {
  const whole = Math.floor(bytes / chunkBytes);
  for (let i = 0; i < items; i++) if (written.has(i) !== i < whole) return false;
  return true;
}

export class NfsChannelData
  implements vfs.VectorReader, vfs.PathWalker, vfs.OriginIdentifier, vfs.WorkingSetPublisher, vfs.ChunkHolder
{
  readonly vectorRanges: number = wireLimits.ranges;
  readonly vectorBytes: number = wireLimits.packedBytes;
  readonly walkNames: number = wireLimits.walkNames;
  readonly #client: Nfs3Client;
  readonly #features: () => readonly string[];
  readonly #counts = { knownWriteBytes: 0 };

  constructor(client: Nfs3Client, features: () => readonly string[]) {
    this.#client = client;
    this.#features = features;
  }

  canReadVectors(): boolean {
    return this.#offers(Feature.READ_VECTOR);
  }
  canWalk(): boolean {
    return this.#offers(Feature.WALK);
  }
  canIdentify(): boolean {
    return this.#offers(Feature.IDENTITY);
  }
  canReference(): boolean {
    return this.#offers(Feature.HAVE);
  }

  canPublish(): boolean {
    return this.#offers(Feature.WORKING_SETS);
  }

  async readVector(call: vfs.Call, args: vfs.VectorReadArguments): Promise<vfs.VectorReadReply> {
    return (await this.readVectorMeasured(call, args)).reply;
  }

  async readVectorMeasured(call: vfs.Call, args: vfs.VectorReadArguments): Promise<MeasuredVector> {
    const refused = (status: vfs.Failure): MeasuredVector => ({ reply: { status }, storedBytes: 0 });
    if (!this.canReadVectors()) return refused(Status.NOTSUPP);
    const status = args.ranges.length > wireLimits.ranges ? Status.INVAL : checkVector(args);
    if (status !== 0) return refused(status);
    const bytes = args.ranges.reduce((sum, range) => sum + range.count, replyHeadBytes);
    const reply: PackedVectorReply = await this.#client.perform(readVector, call, args, { replyBytes: bytes });
    if (reply.status !== 0) return { reply, storedBytes: 0 };
    const storedBytes = reply.packed.stored.reduce((sum, slice) => sum + slice.length, 0);
    return { reply: (await unpackVector(args, reply)) ?? { status: Status.IO }, storedBytes };
  }

  async walk(call: vfs.Call, args: vfs.WalkArguments): Promise<vfs.WalkReply> {
    if (!this.canWalk()) return walk.refuse(Status.NOTSUPP);
    if (args.names.length === 0 || args.names.length > wireLimits.walkNames) return walk.refuse(Status.INVAL);
    return this.#client.perform(walk, call, args, { wrong: (reply) => wrongWalk(args, reply) });
  }

  async identify(call: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.IdentityReply> {
    if (!this.canIdentify()) return { status: Status.NOTSUPP };
    return this.#client.perform(identity, call, args);
  }

  async publishWorkingSet(call: vfs.Call, args: vfs.PublishArguments): Promise<{ readonly status: 0 | vfs.Failure }> {
    if (!this.canPublish()) return publishWorkingSet.refuse(Status.NOTSUPP);
    if (args.set.length > wireLimits.workingSetBytes) return publishWorkingSet.refuse(Status.INVAL);
    return this.#client.perform(publishWorkingSet, call, args);
  }

  /** Answers which of the chunks the server could supply now: it may be fewer when it is asked to. */
  async have(call: vfs.Call, args: vfs.HaveArguments): Promise<HaveReply> {
    if (!this.canReference()) return { status: Status.NOTSUPP, found: Bitmap.of(0) };
    if (args.digests.length > wireLimits.digests) return have.refuse(Status.INVAL);
    return this.#client.perform(have, call, args);
  }

  /** `expected` only where conditions are honoured (docs/channel.md). */
  async writeReferences(call: vfs.Call, args: ReferenceWrite): Promise<ReferenceReply> {
    if (!this.canReference()) return writeReferences.refuse(Status.NOTSUPP);
    if (args.references.length > wireLimits.references) return writeReferences.refuse(Status.INVAL);
    return this.#client.perform(writeReferences, call, args);
  }

  /** A WRITE of what the server said that it has: its digests. Undefined: send it as it is. */
  writeKnown(call: vfs.Call, args: vfs.WriteArguments): Promise<vfs.WriteReply> | undefined {
    const { known, offset, count, expected } = args;
    if (known === undefined || !this.canReference()) return undefined;
    const isFit = offset % chunkBytes === 0 && count === known.digests.length * chunkBytes;
    if (!isFit || count === 0 || known.digests.length > wireLimits.references) return undefined;
    if (expected !== undefined && !this.#offers(Feature.CONDITIONAL)) return undefined;
    return this.#writeKnown(call, args, known);
  }

  async #writeKnown(
    call: vfs.Call,
    args: vfs.WriteArguments,
    { near, digests }: NonNullable<vfs.WriteArguments['known']>,
  ): Promise<vfs.WriteReply> {
    const { object, offset, stable, expected } = args;
    const references = digests.map((digest, i) => ({ offset: offset + i * chunkBytes, digest }));
    const { reply, written } = await this.writeReferences(call, { object, near, stable, expected, references });
    if (reply.status !== 0 && !referenceFaults.has(reply.status)) return reply;
    if (reply.status === 0 && isFront(written, digests.length, reply.count)) {
      this.#counts.knownWriteBytes += reply.count;
      if (reply.count > 0 && wrongWrite(args, reply) === undefined) return reply;
      if (reply.count === 0) return writeReferences.refuse(Status.NOTSUPP).reply;
    }
    // It failed, or did what it should not: what was done, and what the file was before it, nobody knows.
    const late = await (this.writePacked(call, args) ?? this.#client.write(call, args));
    return { ...late, wcc: { after: late.wcc.after } };
  }

  stats(): ChannelDataStats {
    return this.#counts;
  }

  /**
   * A WRITE that is worth packing, packed. Only write-back's: it is on its way over a link that is the bottleneck, and nobody waits for one of
   * its WRITEs. Undefined: send it as it is.
   */
  writePacked(call: vfs.Call, args: vfs.WriteArguments): Promise<vfs.WriteReply> | undefined {
    if (call.priority !== 'prefetch' || args.count < smallestPackedBytes) return undefined;
    if (args.count > this.#client.writeMaximum || !this.#offers(Feature.PUT)) return undefined;
    if (args.expected !== undefined && !this.#offers(Feature.CONDITIONAL)) return undefined;
    const sifted = sift([args]);
    const zeros = args.count - sifted.dataBytes;
    if (zeros < args.count * zeroShare && !looksCompressible(sifted)) return undefined;
    return this.#writeSifted(call, args, sifted);
  }

  async #writeSifted(call: vfs.Call, args: vfs.WriteArguments, sifted: Sifted): Promise<vfs.WriteReply> {
    const { object, offset, stable, expected } = args;
    const packed: PackedWrite = { object, offset, stable, expected, packed: await pack(sifted) };
    const reply = await this.#client.perform(writePacked, call, packed, {
      wrong: (given) => wrongWrite(args, given),
    });
    // The server is another one by now, or what arrived was damaged: nothing was changed.
    const isRefused = reply.status === Status.NOTSUPP || reply.status === Status.INVAL;
    return isRefused ? this.#client.write(call, args) : reply;
  }

  #offers(feature: string): boolean {
    return this.#features().includes(feature);
  }
}
