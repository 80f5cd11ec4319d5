/**
 * Procedures 8 to 14 of the channel, over the top of the stack: each does what READ, LOOKUP and WRITE do, with their checks and leases, for
 * many at a time; the last tells what was learned of a file. What is not offered is refused.
 */
import { serveOperation } from '../nfs3/mod.ts';
import type { ServedProcedure } from '../rpc/mod.ts';
import * as vfs from '../vfs/mod.ts';
import {
  checkHave,
  checkReferences,
  have,
  performHave,
  performWriteReferences,
  type ReferenceWrite,
  writeReferences,
} from './have.ts';
import { identity } from './identity.ts';
import { Feature } from './protocol.ts';
import { checkPublish, publishWorkingSet } from './publish-working-set.ts';
import { checkVector, type PackedVectorReply, performReadVector, readVector, vectorBytes } from './read-vector.ts';
import { checkWalk, performWalk, walk } from './walk.ts';
import { type PackedWrite, performWritePacked, writePacked } from './write-packed.ts';

export interface DataOptions {
  readonly filesystem: vfs.Filesystem;
  readonly features: readonly string[];
  /** Besides: those that the server behind this one offers at present, and that are its matter alone. */
  readonly relayed?: (() => readonly string[]) | undefined;
  /** For the feature `identity`. */
  readonly identifier?: vfs.OriginIdentifier | undefined;
  /** For the feature `have`. */
  readonly chunks?: vfs.ChunkSource | undefined;
  /** For the feature `working-sets`. */
  readonly publisher?: vfs.WorkingSetPublisher | undefined;
}

const { Status } = vfs;
/** More than the fields of any reply without its data. */
const replyHeadBytes = 512;

// biome-ignore lint/suspicious/noExplicitAny: a table of procedures of different types
export function dataProcedures(options: DataOptions): ServedProcedure<any, any>[] {
  const { filesystem, features, relayed, identifier, chunks, publisher } = options;
  const offers = (feature: string): boolean => features.includes(feature) || relayed?.().includes(feature) === true;
  const refuseUnless = (isOffered: boolean): vfs.Failure | 0 => (isOffered ? 0 : Status.NOTSUPP);
  /** A condition that nobody checks would be worse than none. */
  const checkChange = (feature: string, { expected }: Pick<vfs.WriteArguments, 'expected'>): vfs.Failure | 0 =>
    refuseUnless(offers(feature) && (expected === undefined || offers(Feature.CONDITIONAL)));
  const source = offers(Feature.HAVE) ? chunks : undefined;
  const vectors = serveOperation(
    readVector,
    (args) => refuseUnless(offers(Feature.READ_VECTOR)) || checkVector(args),
    (call, args) => performReadVector(filesystem, call, args),
  );
  return [
    {
      ...vectors,
      replyBytes: (args: vfs.VectorReadArguments) => replyHeadBytes + vectorBytes(args),
      release(reply: PackedVectorReply) {
        if (reply.status === 0) reply.release?.();
      },
    },
    serveOperation(
      walk,
      (args) => refuseUnless(offers(Feature.WALK)) || checkWalk(args),
      (call, args) => performWalk(filesystem, call, args),
    ),
    serveOperation(
      identity,
      ({ object }) => (object.length === 0 ? Status.BADHANDLE : 0),
      (call, args) =>
        offers(Feature.IDENTITY) && identifier !== undefined
          ? identifier.identify(call, args)
          : identity.refuse(Status.NOTSUPP),
    ),
    serveOperation(
      writePacked,
      (args: PackedWrite) => checkChange(Feature.PUT, args),
      (call, args) => performWritePacked(filesystem, call, args),
    ),
    serveOperation(have, checkHave, (call, args) =>
      source === undefined ? have.refuse(Status.NOTSUPP) : performHave(filesystem, source, call, args),
    ),
    serveOperation(
      writeReferences,
      (args: ReferenceWrite) => checkChange(Feature.HAVE, args) || checkReferences(args),
      (call, args) =>
        source === undefined
          ? writeReferences.refuse(Status.NOTSUPP)
          : performWriteReferences(filesystem, source, call, args),
    ),
    serveOperation(publishWorkingSet, checkPublish, (call, args) =>
      offers(Feature.WORKING_SETS) && publisher?.canPublish() === true
        ? publisher.publishWorkingSet(call, args)
        : publishWorkingSet.refuse(Status.NOTSUPP),
    ),
  ];
}
