/**
 * Counts, errors, latencies and bytes of each operation that passes, cheaply enough to be always on.
 *
 * A synchronous answer costs two clock readings and a few typed-array increments; only a promise costs a closure. Bytes in are
 * WRITE payload, bytes out READ payload. In flight: calls that have not been answered.
 */
import type { Clock, Eventual } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { ForwardingFilesystem } from '../vfs/mod.ts';
import { LatencyHistograms, type LatencySummary } from './latency-histograms.ts';

export const operationNames = [
  'getattr',
  'setattr',
  'lookup',
  'access',
  'readlink',
  'read',
  'write',
  'create',
  'mkdir',
  'symlink',
  'mknod',
  'remove',
  'rmdir',
  'rename',
  'link',
  'readdir',
  'readdirplus',
  'fsstat',
  'fsinfo',
  'pathconf',
  'commit',
] as const satisfies readonly fs.OperationName[];

export interface OperationStats {
  readonly count: number;
  /** Replies with a status that is not 0, and rejected calls. */
  readonly errors: number;
  readonly inFlight: number;
  readonly latency: LatencySummary;
}

export interface StatsSnapshot {
  readonly operations: { readonly [Name in fs.OperationName]: OperationStats };
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly inFlight: number;
}

export class Stats extends ForwardingFilesystem {
  readonly #clock: Clock;
  readonly #started = new Float64Array(operationNames.length);
  readonly #finished = new Float64Array(operationNames.length);
  readonly #errors = new Float64Array(operationNames.length);
  readonly #latencies = new LatencyHistograms(operationNames.length);
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(next: fs.Filesystem, { clock }: { readonly clock: Clock }) {
    super(next);
    this.#clock = clock;
  }

  /** All figures at this moment, counted since the start. */
  snapshot(): StatsSnapshot {
    const operations: Partial<Record<fs.OperationName, OperationStats>> = {};
    let inFlight = 0;
    for (let i = 0; i < operationNames.length; i++) {
      const count = this.#finished[i]!;
      const waiting = this.#started[i]! - count;
      inFlight += waiting;
      operations[operationNames[i]!] = {
        count,
        errors: this.#errors[i]!,
        inFlight: waiting,
        latency: this.#latencies.summary(i),
      };
    }
    const complete = operations as Record<fs.OperationName, OperationStats>;
    return { operations: complete, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, inFlight };
  }

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    return this.#end(0, this.#begin(0), this.next.getattr(call, args));
  }
  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    return this.#end(1, this.#begin(1), this.next.setattr(call, args));
  }
  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    return this.#end(2, this.#begin(2), this.next.lookup(call, args));
  }
  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    return this.#end(3, this.#begin(3), this.next.access(call, args));
  }
  override readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    return this.#end(4, this.#begin(4), this.next.readlink(call, args));
  }
  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    return this.#end(7, this.#begin(7), this.next.create(call, args));
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    return this.#end(8, this.#begin(8), this.next.mkdir(call, args));
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    return this.#end(9, this.#begin(9), this.next.symlink(call, args));
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    return this.#end(10, this.#begin(10), this.next.mknod(call, args));
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#end(11, this.#begin(11), this.next.remove(call, args));
  }
  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#end(12, this.#begin(12), this.next.rmdir(call, args));
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    return this.#end(13, this.#begin(13), this.next.rename(call, args));
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    return this.#end(14, this.#begin(14), this.next.link(call, args));
  }
  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    return this.#end(15, this.#begin(15), this.next.readdir(call, args));
  }
  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    return this.#end(16, this.#begin(16), this.next.readdirplus(call, args));
  }
  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    return this.#end(17, this.#begin(17), this.next.fsstat(call, args));
  }
  override fsinfo(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsinfoReply> {
    return this.#end(18, this.#begin(18), this.next.fsinfo(call, args));
  }
  override pathconf(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.PathconfReply> {
    return this.#end(19, this.#begin(19), this.next.pathconf(call, args));
  }
  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    return this.#end(20, this.#begin(20), this.next.commit(call, args));
  }

  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    const startedMs = this.#begin(5);
    const reply = this.next.read(call, args);
    if (reply instanceof Promise)
      return this.#end(
        5,
        startedMs,
        reply.then((late) => this.#countRead(late)),
      );
    return this.#end(5, startedMs, this.#countRead(reply));
  }

  #countRead(reply: fs.ReadReply): fs.ReadReply {
    if (reply.status === 0) this.#bytesOut += reply.count;
    return reply;
  }

  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    const startedMs = this.#begin(6);
    const reply = this.next.write(call, args);
    if (reply instanceof Promise)
      return this.#end(
        6,
        startedMs,
        reply.then((late) => this.#countWrite(late)),
      );
    return this.#end(6, startedMs, this.#countWrite(reply));
  }

  #countWrite(reply: fs.WriteReply): fs.WriteReply {
    if (reply.status === 0) this.#bytesIn += reply.count;
    return reply;
  }

  #begin(operation: number): number {
    this.#started[operation]!++;
    return this.#clock.now();
  }

  #end<R extends { readonly status: number }>(operation: number, startedMs: number, reply: Eventual<R>): Eventual<R> {
    if (!(reply instanceof Promise)) {
      this.#record(operation, startedMs, reply.status !== 0);
      return reply;
    }
    return reply.then(
      (late) => {
        this.#record(operation, startedMs, late.status !== 0);
        return late;
      },
      (error: unknown) => {
        this.#record(operation, startedMs, true);
        throw error;
      },
    );
  }

  #record(operation: number, startedMs: number, failed: boolean): void {
    this.#finished[operation]!++;
    if (failed) this.#errors[operation]!++;
    this.#latencies.record(operation, this.#clock.now() - startedMs);
  }
}
