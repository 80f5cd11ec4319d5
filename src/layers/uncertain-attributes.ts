/**
 * Between a restart of the origin and the end of the sending again, the origin shows files without the unstable data that
 * it lost: too short, or with times of before. Whoever believed such attributes would end a READ too early. Where the
 * protocol lets a reply do without attributes, they are left out; READ, GETATTR and WRITE are the `Stability` layer's own matter.
 *
 *     call issued ----------------------- reply      a recovery began or ended in between, or the file's is under way: left out
 *
 * Invariant: attributes pass only if no recovery touched the time between the call and its reply.
 */
import { chain, type Eventual } from '../base/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { ForwardingFilesystem } from '../vfs/mod.ts';
import type { UnstableFiles } from './unstable-files.ts';

export class UncertainAttributes extends ForwardingFilesystem {
  readonly #files: UnstableFiles;

  constructor(next: vfs.Filesystem, files: UnstableFiles) {
    super(next);
    this.#files = files;
  }

  override access(call: vfs.Call, args: vfs.AccessArguments): Eventual<vfs.AccessReply> {
    return this.#certain(
      () => this.next.access(call, args),
      () => args.object,
      (reply) => ({ ...reply, attributes: undefined }),
    );
  }

  override lookup(call: vfs.Call, args: vfs.Place): Eventual<vfs.LookupReply> {
    return this.#certain(
      () => this.next.lookup(call, args),
      (reply) => (reply.status === 0 ? reply.object : undefined),
      (reply) => (reply.status === 0 ? { ...reply, attributes: undefined } : reply),
    );
  }

  override create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    return this.#certain(
      () => this.next.create(call, args),
      (reply) => (reply.status === 0 ? reply.object : undefined),
      (reply) => (reply.status === 0 ? { ...reply, attributes: undefined } : reply),
    );
  }

  override link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    return this.#certain(
      () => this.next.link(call, args),
      () => args.object,
      (reply) => ({ ...reply, attributes: undefined }),
    );
  }

  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    return this.#certain(
      () => this.next.setattr(call, args),
      () => args.object,
      (reply) => ({ ...reply, wcc: {} }),
    );
  }

  override commit(call: vfs.Call, args: vfs.CommitArguments): Eventual<vfs.CommitReply> {
    return this.#certain(
      () => this.next.commit(call, args),
      () => args.object,
      (reply) => ({ ...reply, wcc: {} }),
    );
  }

  override readdirplus(call: vfs.Call, args: vfs.ReaddirArguments): Eventual<vfs.ReaddirReply<vfs.DirectoryEntryPlus>> {
    const since = this.#files.recoveryEvents;
    const none = this.#files.size === 0;
    return chain(this.next.readdirplus(call, args), (reply) => {
      if (none || reply.status !== 0) return reply;
      if (since === this.#files.recoveryEvents && this.#files.recoveries().length === 0) return reply;
      return { ...reply, entries: reply.entries.map((entry) => ({ ...entry, attributes: undefined })) };
    });
  }

  #certain<R>(
    issue: () => Eventual<R>,
    objectOf: (reply: R) => vfs.FileHandle | undefined,
    without: (reply: R) => R,
  ): Eventual<R> {
    // Nothing is unstable: nothing can be lost that was answered before this call.
    if (this.#files.size === 0) return issue();
    const since = this.#files.recoveryEvents;
    return chain(issue(), (reply) => {
      const object = objectOf(reply);
      return object !== undefined && this.#files.mayShowLoss(object, since) ? without(reply) : reply;
    });
  }
}
