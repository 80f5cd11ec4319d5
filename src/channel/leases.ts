/** LEASE_ACQUIRE, LEASE_RENEW, LEASE_RELEASE, LEASE_STATUS: wire forms of what vfs/lease-service.ts says. */
import { limits } from '../base/mod.ts';
import type { Procedure } from '../rpc/mod.ts';
import type {
  AcquireArguments,
  AcquireReply,
  Failure,
  FileHandle,
  LeaseHolder,
  LeaseReference,
  LeaseStatusReply,
  ReleaseReply,
  RenewReply,
} from '../vfs/mod.ts';
import { type Codec, XdrError, type XdrReader, type XdrWriter } from '../xdr/mod.ts';
import { readFailure, readOutcome, wireLimits, writeExactly } from './protocol.ts';

type Refusal = { readonly outcome: 'refused'; readonly status: Failure };

function refused(reader: XdrReader): Refusal {
  return { outcome: 'refused', status: readFailure(reader) };
}

function readTree(reader: XdrReader): FileHandle {
  return reader.binaryString(limits.fileHandleBytes);
}

function writeHolder(writer: XdrWriter, value: LeaseHolder): void {
  writer.binaryString(value.path);
  writer.binaryString(value.holder);
  writer.size64(value.sinceMs);
  writer.size64(value.seenMs);
  writer.size64(value.breakableMs);
}

function readHolder(reader: XdrReader): LeaseHolder {
  return {
    path: reader.binaryString(limits.pathBytes),
    holder: reader.binaryString(wireLimits.holderBytes),
    sinceMs: reader.size64(),
    seenMs: reader.size64(),
    breakableMs: reader.size64(),
  };
}

const reference: Codec<LeaseReference> = {
  encode(writer, args) {
    writer.binaryString(args.tree);
    writeExactly(writer, args.token, wireLimits.tokenBytes);
  },
  decode(reader) {
    return { tree: readTree(reader), token: reader.fixedBinaryString(wireLimits.tokenBytes) };
  },
};

const acquireOutcomes = ['granted', 'held', 'refused'] as const;

export const leaseAcquire: Procedure<AcquireArguments, AcquireReply> = {
  number: 2,
  name: 'LEASE_ACQUIRE',
  // A second execution gives the same holder a newer token, and makes the first worthless.
  idempotent: false,
  arguments: {
    encode(writer, args) {
      writer.binaryString(args.tree);
      writer.binaryString(args.holder);
      writeExactly(writer, args.instance, wireLimits.instanceBytes);
      writer.bool(args.takeOver);
    },
    decode(reader) {
      return {
        tree: readTree(reader),
        holder: reader.binaryString(wireLimits.holderBytes),
        instance: reader.fixedBinaryString(wireLimits.instanceBytes),
        takeOver: reader.bool(),
      };
    },
  },
  reply: {
    encode(writer, reply) {
      writer.uint32(acquireOutcomes.indexOf(reply.outcome));
      if (reply.outcome === 'held') writeHolder(writer, reply.by);
      else if (reply.outcome === 'refused') writer.uint32(reply.status);
      else {
        writeExactly(writer, reply.token, wireLimits.tokenBytes);
        writer.uint32(reply.renewMs);
        writer.binaryString(reply.path);
      }
    },
    decode(reader) {
      const outcome = readOutcome(reader, acquireOutcomes);
      if (outcome === 'held') return { outcome, by: readHolder(reader) };
      if (outcome === 'refused') return refused(reader);
      return {
        outcome,
        token: reader.fixedBinaryString(wireLimits.tokenBytes),
        renewMs: reader.uint32(),
        path: reader.binaryString(limits.pathBytes),
      };
    },
  },
};

const renewOutcomes = ['held', 'lost', 'refused', 'ended'] as const;

export const leaseRenew: Procedure<LeaseReference, RenewReply> = {
  number: 3,
  name: 'LEASE_RENEW',
  idempotent: true,
  arguments: reference,
  reply: {
    encode(writer, reply) {
      writer.uint32(renewOutcomes.indexOf(reply.outcome));
      if (reply.outcome === 'held') writer.uint32(reply.renewMs);
      else if (reply.outcome === 'refused') writer.uint32(reply.status);
      else if (reply.outcome === 'lost') {
        writer.binaryString(reply.holder);
        writer.size64(reply.sinceMs);
      }
    },
    decode(reader) {
      const outcome = readOutcome(reader, renewOutcomes);
      if (outcome === 'held') return { outcome, renewMs: reader.uint32() };
      if (outcome === 'refused') return refused(reader);
      if (outcome === 'ended') return { outcome };
      return { outcome, holder: reader.binaryString(wireLimits.holderBytes), sinceMs: reader.size64() };
    },
  },
};

const releaseOutcomes = ['released', 'not-held', 'refused'] as const;

export const leaseRelease: Procedure<LeaseReference, ReleaseReply> = {
  number: 4,
  name: 'LEASE_RELEASE',
  // Again, it finds the lease ended: the same to the client.
  idempotent: true,
  arguments: reference,
  reply: {
    encode(writer, reply) {
      writer.uint32(releaseOutcomes.indexOf(reply.outcome));
      if (reply.outcome === 'refused') writer.uint32(reply.status);
    },
    decode(reader) {
      const outcome = readOutcome(reader, releaseOutcomes);
      return outcome === 'refused' ? refused(reader) : { outcome };
    },
  },
};

const statusOutcomes = ['listed', 'refused'] as const;

export const leaseStatus: Procedure<{ readonly tree: FileHandle }, LeaseStatusReply> = {
  number: 5,
  name: 'LEASE_STATUS',
  idempotent: true,
  arguments: {
    encode: (writer, args) => writer.binaryString(args.tree),
    decode: (reader) => ({ tree: readTree(reader) }),
  },
  reply: {
    encode(writer, reply) {
      writer.uint32(statusOutcomes.indexOf(reply.outcome));
      if (reply.outcome === 'refused') {
        writer.uint32(reply.status);
        return;
      }
      if (reply.leases.length > wireLimits.leases) throw new XdrError(`${reply.leases.length} leases`);
      writer.uint32(reply.leases.length);
      for (const lease of reply.leases) writeHolder(writer, lease);
      writer.bool(reply.more);
    },
    decode(reader) {
      const outcome = readOutcome(reader, statusOutcomes);
      if (outcome === 'refused') return refused(reader);
      const count = reader.uint32();
      if (count > wireLimits.leases) throw new XdrError(`${count} leases`);
      const leases: LeaseHolder[] = [];
      for (let i = 0; i < count; i++) leases.push(readHolder(reader));
      return { outcome, leases, more: reader.bool() };
    },
  },
};
