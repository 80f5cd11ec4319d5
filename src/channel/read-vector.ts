/**
 * READ_VECTOR: many ranges of one file in one call. Each range is a READ of its own to the server's stack; what they brought comes packed.
 *
 *     handle | (offset count)*            attributes | (status count eof)* | packed data of all ranges
 *
 * Invariants: the attributes are given only if every READ showed the same version of the file; what the READs lent is given back once, when the
 * reply has left.
 */
import { limits } from '../base/mod.ts';
import {
  checkObject,
  type Nfs3Procedure,
  readHandle,
  readOptionalAttributes,
  readStatus,
  replyUnion,
  writeOptionalAttributes,
} from '../nfs3/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { XdrError } from '../xdr/mod.ts';
import { Cutter, type Packed, pack, packedBytes, packedCodec, sift, unpack } from './packed.ts';
import { channelProgram, wireLimits } from './protocol.ts';

interface RangeResult {
  readonly status: 0 | vfs.Failure;
  readonly count: number;
  readonly eof: boolean;
}

export type PackedVectorReply =
  | {
      readonly status: 0;
      readonly attributes?: vfs.Attributes | undefined;
      readonly results: readonly RangeResult[];
      readonly packed: Packed;
      /** At the server: gives back what the READs lent. */
      readonly release?: (() => void) | undefined;
    }
  | { readonly status: vfs.Failure };

export const readVector: Nfs3Procedure<vfs.VectorReadArguments, PackedVectorReply> = {
  program: channelProgram,
  number: 8,
  name: 'READ_VECTOR',
  idempotent: true,
  arguments: {
    encode(writer, { object, ranges }) {
      if (ranges.length > wireLimits.ranges) throw new XdrError(`${ranges.length} ranges`);
      writer.binaryString(object);
      writer.uint32(ranges.length);
      for (const { offset, count } of ranges) {
        writer.size64(offset);
        writer.uint32(count);
      }
    },
    decode(reader) {
      const object = readHandle(reader);
      const length = reader.uint32();
      if (length > wireLimits.ranges) throw new XdrError(`${length} ranges`);
      const ranges: vfs.ReadRange[] = [];
      for (let i = 0; i < length; i++) ranges.push({ offset: reader.size64(), count: reader.uint32() });
      return { object, ranges };
    },
  },
  reply: replyUnion({
    encodeSuccess(writer, reply: PackedVectorReply & { readonly status: 0 }) {
      writeOptionalAttributes(writer, reply.attributes);
      writer.uint32(reply.results.length);
      for (const { status, count, eof } of reply.results) {
        writer.uint32(status);
        writer.uint32(count);
        writer.bool(eof);
      }
      packedCodec.encode(writer, reply.packed);
    },
    decodeSuccess(reader): PackedVectorReply & { readonly status: 0 } {
      const attributes = readOptionalAttributes(reader);
      const length = reader.uint32();
      if (length > wireLimits.ranges) throw new XdrError(`${length} results`);
      const results: RangeResult[] = [];
      let bytes = 0;
      for (let i = 0; i < length; i++) {
        const result = { status: readStatus(reader), count: reader.uint32(), eof: reader.bool() };
        if (result.status !== 0 && result.count > 0) throw new XdrError('a refused range with data');
        bytes += result.count;
        results.push(result);
      }
      const packed = packedCodec.decode(reader);
      if (packedBytes(packed) !== bytes) throw new XdrError(`${packedBytes(packed)} bytes for ranges of ${bytes}`);
      return { status: 0, attributes, results, packed };
    },
    encodeRefusal() {},
    decodeRefusal: (_reader, status): PackedVectorReply & { readonly status: vfs.Failure } => ({ status }),
  }),
  refuse: (status) => ({ status }),
};

export function vectorBytes({ ranges }: vfs.VectorReadArguments): number {
  return ranges.reduce((sum, range) => sum + range.count, 0);
}

export function checkVector(args: vfs.VectorReadArguments): vfs.Failure | 0 {
  const isWrong =
    args.ranges.length === 0 ||
    vectorBytes(args) > wireLimits.packedBytes ||
    args.ranges.some(({ offset, count }) => count === 0 || offset + count > limits.fileBytes);
  return checkObject(args) || (isWrong ? vfs.Status.INVAL : 0);
}

/** At the server. */
export async function performReadVector(
  filesystem: vfs.Filesystem,
  call: vfs.Call,
  { object, ranges }: vfs.VectorReadArguments,
): Promise<PackedVectorReply> {
  // All of them are settled before any is given back: a rejection must not leave others unreleased.
  const settled = await Promise.allSettled(ranges.map(async (range) => filesystem.read(call, { object, ...range })));
  const replies: vfs.ReadReply[] = [];
  let failed: PromiseRejectedResult | undefined;
  for (const one of settled) {
    if (one.status === 'fulfilled') replies.push(one.value);
    else failed ??= one;
  }
  const release = (): void => {
    for (const reply of replies) if (reply.status === 0) reply.release?.();
  };
  try {
    if (failed !== undefined) throw failed.reason;
    const busy = replies.some((reply) => reply.status === vfs.Status.JUKEBOX);
    if (busy) {
      release();
      return { status: vfs.Status.JUKEBOX };
    }
    const parts = replies.map((reply, i) => ({
      offset: ranges[i]!.offset,
      data: reply.status === 0 ? reply.data : [],
    }));
    const packed = await pack(sift(parts));
    const results = replies.map((reply) =>
      reply.status === 0 ? { status: 0 as const, count: reply.count, eof: reply.eof } : refusedRange(reply.status),
    );
    return { status: 0, attributes: commonAttributes(replies), results, packed, release };
  } catch (error) {
    release();
    throw error;
  }
}

function refusedRange(status: vfs.Failure): RangeResult {
  return { status, count: 0, eof: false };
}

function commonAttributes(replies: readonly vfs.ReadReply[]): vfs.Attributes | undefined {
  const [first] = replies;
  const known = first?.attributes;
  if (known === undefined) return undefined;
  for (const { attributes } of replies) {
    if (attributes === undefined || !vfs.sameContent(known, attributes)) return undefined;
  }
  return known;
}

/** At the client. Undefined: what came is not what a server would send. */
export async function unpackVector(
  { ranges }: vfs.VectorReadArguments,
  reply: PackedVectorReply & { readonly status: 0 },
): Promise<vfs.VectorReadReply | undefined> {
  const { attributes, results, packed } = reply;
  if (results.length === 0 || results.length > ranges.length) return undefined;
  const isWrong = results.some(({ status, count, eof }, i) => {
    const asked = ranges[i]!.count;
    return status === 0 && (count > asked || (count === 0 && !eof));
  });
  const data = isWrong ? undefined : await unpack(packed);
  if (data === undefined) return undefined;
  const cutter = new Cutter(data);
  const given = results.map(
    ({ status, count, eof }): vfs.RangeReply =>
      status === 0 ? { status, count, eof, data: cutter.take(count) } : { status },
  );
  return { status: 0, attributes, results: given };
}
