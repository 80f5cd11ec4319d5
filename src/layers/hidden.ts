/**
 * Keeps `.viaduct`, in which content meta-data lies, out of sight of ordinary clients; a Viaduct that said HELLO on its connection
 * sees it. The topmost layer of every session: what layers below ask for themselves is not its matter.
 *
 *     LOOKUP                              NOENT, behind the permissions and errors that it has anyway
 *     READDIR, READDIRPLUS                left out; a page of nothing else is followed by the next
 *     CREATE, MKDIR, ..., RENAME, LINK,
 *     REMOVE, RMDIR of the name           ACCES
 *     RMDIR of a directory with nothing
 *     else in it                          it goes with the directory: to the client that was empty
 *
 * Invariants: other names cost one comparison of lengths; a page without entries says `eof`.
 *
 * Where names that differ in case are one (PATHCONF says so), they are one here too; elsewhere `.Viaduct` is a name like any other.
 */
import { chain, type Eventual } from '../base/mod.ts';
import { contentDirectory } from '../content/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { type Failure, ForwardingFilesystem, Status } from '../vfs/mod.ts';
import { removeWithContent } from './hidden/remove.ts';

type Page<Entry extends fs.DirectoryEntry> = fs.ReaddirReply<Entry>;

const createRefusal = { status: Status.ACCES, directoryWcc: {} } as const;
const renameRefusal = { status: Status.ACCES, fromWcc: {}, toWcc: {} } as const;

export class Hidden extends ForwardingFilesystem {
  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const reply = this.next.lookup(call, args);
    if (!mayBeHidden(call, args.name)) return reply;
    return chain(reply, (found) => {
      if (found.status !== 0) return found;
      const absent = { status: Status.NOENT, directoryAttributes: found.directoryAttributes } as const;
      return chain(this.#isHidden(call, args), (hidden) => (hidden ? absent : found));
    });
  }

  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    if (!mayBeHidden(call, args.where.name)) return this.next.create(call, args);
    return this.#guard(call, args.where, createRefusal, () => this.next.create(call, args));
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    if (!mayBeHidden(call, args.where.name)) return this.next.mkdir(call, args);
    return this.#guard(call, args.where, createRefusal, () => this.next.mkdir(call, args));
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    if (!mayBeHidden(call, args.where.name)) return this.next.symlink(call, args);
    return this.#guard(call, args.where, createRefusal, () => this.next.symlink(call, args));
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    if (!mayBeHidden(call, args.where.name)) return this.next.mknod(call, args);
    return this.#guard(call, args.where, createRefusal, () => this.next.mknod(call, args));
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    if (!mayBeHidden(call, args.name)) return this.next.remove(call, args);
    return this.#guard(call, args, createRefusal, () => this.next.remove(call, args));
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    if (!mayBeHidden(call, args.where.name)) return this.next.link(call, args);
    return this.#guard(call, args.where, createRefusal, () => this.next.link(call, args));
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    if (!mayBeHidden(call, args.from.name) && !mayBeHidden(call, args.to.name)) return this.next.rename(call, args);
    const onward = (): Eventual<fs.RenameReply> => this.next.rename(call, args);
    return this.#guard(call, args.from, renameRefusal, () => this.#guard(call, args.to, renameRefusal, onward));
  }

  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    if (mayBeHidden(call, args.name)) {
      return this.#guard(call, args, createRefusal, () => this.#removeDirectory(call, args));
    }
    return this.#removeDirectory(call, args);
  }

  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    const page = this.next.readdir(call, args);
    if (call.isViaduct === true) return page;
    return chain(page, (value) => this.#filter(call, args, value, (next) => this.readdir(call, next)));
  }
  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    const page = this.next.readdirplus(call, args);
    if (call.isViaduct === true) return page;
    return chain(page, (value) => this.#filter(call, args, value, (next) => this.readdirplus(call, next)));
  }

  #removeDirectory(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    const reply = this.next.rmdir(call, args);
    if (call.isViaduct === true) return reply;
    return chain(reply, (value) =>
      value.status === Status.NOTEMPTY ? removeWithContent(this.next, call, args, value) : value,
    );
  }

  /** RFC 1813 3.3.16: no entries and no `eof` would say nothing. */
  #filter<Entry extends fs.DirectoryEntry>(
    call: fs.Call,
    args: fs.ReaddirArguments,
    page: Page<Entry>,
    more: (next: fs.ReaddirArguments) => Eventual<Page<Entry>>,
  ): Eventual<Page<Entry>> {
    if (page.status !== 0) return page;
    const found = page.entries.find((entry) => mayBeHidden(call, entry.name));
    if (found === undefined) return page;
    const { directory } = args;
    const { cookieVerifier } = page;
    return chain(this.#foldsCase(call, directory, found.name), (folds) => {
      const entries = page.entries.filter(({ name }) => name !== contentDirectory && !(folds && isContentName(name)));
      if (entries.length > 0 || page.eof) return { ...page, entries };
      const { cookie } = page.entries[page.entries.length - 1]!;
      return more({ ...args, cookie, cookieVerifier });
    });
  }

  #guard<Reply>(
    call: fs.Call,
    place: fs.Place,
    refusal: Reply & { readonly status: Failure },
    perform: () => Eventual<Reply>,
  ): Eventual<Reply> {
    return chain(this.#isHidden(call, place), (hidden) => (hidden ? refusal : perform()));
  }

  #isHidden(call: fs.Call, { directory, name }: fs.Place): Eventual<boolean> {
    if (!mayBeHidden(call, name)) return false;
    return name === contentDirectory || this.#foldsCase(call, directory, name);
  }

  /** Only asked where it makes a difference. */
  #foldsCase(call: fs.Call, directory: fs.FileHandle, name: fs.Name): Eventual<boolean> {
    if (name === contentDirectory) return false;
    return chain(
      this.next.pathconf(call, { object: directory }),
      (facts) => facts.status === 0 && facts.caseInsensitive,
    );
  }
}

function mayBeHidden(call: fs.Call, name: fs.Name): boolean {
  return name.length === contentDirectory.length && call.isViaduct !== true && isContentName(name);
}

function isContentName(name: fs.Name): boolean {
  return name === contentDirectory || name.toLowerCase() === contentDirectory;
}
