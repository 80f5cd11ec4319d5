/**
 * Viaducts in a row: COMMIT_THROUGH, PENDING, WRITE_BACK. The wire forms, and what serves them; what they mean is in vfs/chain.ts.
 *
 *     COMMIT_THROUGH   the arguments of COMMIT            its reply, once the data is at the origin and not only on a disk of this hop
 *     PENDING          patienceMs                         status | hop* | what is behind the last
 *     WRITE_BACK       -                                  status | outcome, once it is done
 */
import { callOf, checkObject, type Nfs3Procedure, procedures, replyUnion, serveOperation } from '../nfs3/mod.ts';
import type { RpcCall, ServedProcedure } from '../rpc/mod.ts';
import type {
  ChainLink,
  ChainReply,
  CommitArguments,
  CommitReply,
  Failure,
  Filesystem,
  Hop,
  HopState,
  WriteBackOutcome,
} from '../vfs/mod.ts';
import { Status } from '../vfs/mod.ts';
import { XdrError, type XdrReader, type XdrWriter } from '../xdr/mod.ts';
import { channelProgram, readOutcome, wireLimits } from './protocol.ts';

const policies = ['read-only', 'write-through', 'write-back', 'redirect'] as const;
const states: readonly HopState[] = [
  ...(['passing', 'idle', 'waiting', 'writing'] as const),
  ...(['origin-away', 'refused', 'lease-lost', 'damaged'] as const),
];
const ends = ['origin', 'silent', 'cut'] as const;
const outcomes = ['done', 'conflict', 'refused', 'lease-lost', 'closed'] as const;

function writeOptional(writer: XdrWriter, value: number | undefined): void {
  writer.bool(value !== undefined);
  if (value !== undefined) writer.size64(Math.round(value));
}

function readOptional(reader: XdrReader): number | undefined {
  return reader.bool() ? reader.size64() : undefined;
}

function writeHop(writer: XdrWriter, hop: Hop): void {
  writer.binaryString(hop.host);
  writer.uint32(policies.indexOf(hop.policy));
  writer.bool(hop.isAtNext);
  writer.size64(hop.pendingBytes);
  writer.uint32(hop.pendingFiles);
  writer.uint32(hop.conflicts);
  writeOptional(writer, hop.oldestAgeMs);
  writer.uint32(states.indexOf(hop.state));
  writeOptional(writer, hop.secondsLeft);
}

function readHop(reader: XdrReader): Hop {
  return {
    host: reader.binaryString(wireLimits.holderBytes),
    policy: readOutcome(reader, policies),
    isAtNext: reader.bool(),
    pendingBytes: reader.size64(),
    pendingFiles: reader.uint32(),
    conflicts: reader.uint32(),
    oldestAgeMs: readOptional(reader),
    state: readOutcome(reader, states),
    secondsLeft: readOptional(reader),
  };
}

function refusal<Reply>(): {
  encodeRefusal(): void;
  decodeRefusal(reader: XdrReader, status: Failure): Reply & { readonly status: Failure };
} {
  return {
    encodeRefusal() {},
    decodeRefusal: (_reader, status) => ({ status }) as Reply & { readonly status: Failure },
  };
}

export const commitThrough: Nfs3Procedure<CommitArguments, CommitReply> = {
  ...procedures.commit,
  program: channelProgram,
  number: 15,
  name: 'COMMIT_THROUGH',
};

export const pending: Nfs3Procedure<{ readonly patienceMs: number }, ChainReply> = {
  program: channelProgram,
  number: 16,
  name: 'PENDING',
  idempotent: true,
  arguments: {
    encode: (writer, { patienceMs }) => writer.uint32(patienceMs),
    decode: (reader) => ({ patienceMs: reader.uint32() }),
  },
  reply: replyUnion({
    encodeSuccess(writer, { hops, end }: ChainReply & { readonly status: 0 }) {
      if (hops.length > wireLimits.hops) throw new XdrError(`${hops.length} hops`);
      writer.uint32(hops.length);
      for (const hop of hops) writeHop(writer, hop);
      writer.uint32(ends.indexOf(end));
    },
    decodeSuccess(reader): ChainReply & { readonly status: 0 } {
      const count = reader.uint32();
      if (count > wireLimits.hops) throw new XdrError(`${count} hops`);
      const hops: Hop[] = [];
      for (let i = 0; i < count; i++) hops.push(readHop(reader));
      return { status: 0, hops, end: readOutcome(reader, ends) };
    },
    ...refusal<ChainReply>(),
  }),
  refuse: (status) => ({ status }),
};

export const writeBack: Nfs3Procedure<undefined, WriteBackOutcome> = {
  program: channelProgram,
  number: 17,
  name: 'WRITE_BACK',
  idempotent: true,
  arguments: { encode() {}, decode: () => undefined },
  reply: replyUnion({
    encodeSuccess: (writer, { outcome }: WriteBackOutcome & { readonly status: 0 }) =>
      writer.uint32(outcomes.indexOf(outcome)),
    decodeSuccess: (reader): WriteBackOutcome & { readonly status: 0 } => ({
      status: 0,
      outcome: readOutcome(reader, outcomes),
    }),
    ...refusal<WriteBackOutcome>(),
  }),
  refuse: (status) => ({ status }),
};

/** `link`: absent where nothing is ever kept, nor behind it. */
export function chainProcedures(filesystem: Filesystem, link: ChainLink | undefined) {
  return [
    serveOperation(
      commitThrough,
      (args) => (link === undefined ? Status.NOTSUPP : checkObject(args)),
      (call, args) => filesystem.commit({ ...call, reach: 'origin' }, args),
    ),
    serve(pending, (call, args) => link?.pending(callOf(call), args)),
    serve(writeBack, (call) => link?.writeBack(callOf(call))),
  ];
}

function serve<Arguments, Reply>(
  procedure: Nfs3Procedure<Arguments, Reply>,
  perform: (call: RpcCall, args: Arguments) => Promise<Reply> | undefined,
): ServedProcedure<Arguments, Reply> {
  return { procedure, handle: (call, args) => perform(call, args) ?? procedure.refuse(Status.NOTSUPP) };
}
