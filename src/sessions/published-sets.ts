/**
 * Takes the working sets that clients publish, at the server of a directory: `.viaduct/NAME.PURPOSE.ws`, merged with what is there.
 *
 *     set ──decodes? permission?──> existing set ──merge, bound──> .new-... ──rename──> NAME.PURPOSE.ws
 *
 * Invariants: who may publish is a matter of its own (`owner`, or whoever may read the file as the clients' own stack says), not of
 * changing the file or of --read-only; nothing else is ever written here; each file is put in place by rename, owned as its file is,
 * and what a server that was killed left of that is removed; one at a time, a bounded number waits; of one file a bounded number of
 * purposes is kept; what others taught is replaced only if it is no set: while it cannot be read, nothing is taken.
 */
import { type Clock, type Log, limits, type Random } from '../base/mod.ts';
import {
  ContentError,
  contentDirectory,
  decodeWorkingSet,
  encodeWorkingSet,
  mergeWorkingSets,
  type WorkingSet,
  workingSetName,
} from '../content/mod.ts';
import { isTrustedDirectory, writtenPurpose } from '../layers/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { listNames } from './list-names.ts';

export interface PublishedSetsOptions {
  /** What clients see: it decides who may read. */
  readonly top: vfs.Filesystem;
  /** The directory itself: it is written to in the server's own name. */
  readonly origin: vfs.Filesystem;
  readonly permission: 'owner' | 'readers';
  readonly squash: 'none' | 'root' | 'all';
  readonly own: vfs.Credential;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
}

type Status = 0 | vfs.Failure;

interface File {
  readonly place: vfs.Place;
  readonly attributes: vfs.Attributes;
}

type Earlier =
  | { readonly status: 0; readonly isThere: boolean; readonly set?: WorkingSet | undefined }
  | { readonly status: vfs.Failure };

const { Access, FileType, Status } = vfs;
const mostWaiting = 64;
const freshName = /^\.new-[0-9a-f]{16}$/;
/** Whoever writes one takes seconds; another server of the same directory may be doing so. */
const leftMs = 60 * 60_000;
const mostDirectories = 1024;

export class PublishedSets implements vfs.WorkingSetPublisher {
  readonly #options: PublishedSetsOptions;
  readonly #call: vfs.Call;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** When directories were last looked through for what was left. */
  readonly #tidied = new Map<vfs.FileHandle, number>();

  constructor(options: PublishedSetsOptions) {
    this.#options = options;
    this.#call = { credential: options.own, peer: 'published-sets', priority: 'prefetch' };
  }

  canPublish(): boolean {
    return true;
  }

  async publishWorkingSet(call: vfs.Call, args: vfs.PublishArguments): Promise<{ readonly status: Status }> {
    if (this.#waiting >= mostWaiting) return { status: Status.JUKEBOX };
    this.#waiting++;
    const done = this.#last.then(() => this.#publish(call, args));
    this.#last = done.catch(() => {});
    try {
      return { status: await done };
    } finally {
      this.#waiting--;
    }
  }

  async #publish(call: vfs.Call, { place, set: bytes }: vfs.PublishArguments): Promise<Status> {
    const { log } = this.#options;
    const set = decoded(bytes);
    if (set === undefined) return Status.INVAL;
    const file = await this.#permitted(call, place);
    if ('status' in file) return file.status;
    const hidden = await this.#hidden(file);
    if ('status' in hidden) return hidden.status;
    const name = workingSetName(place.name, set.purpose);
    if (name === undefined) return Status.NAMETOOLONG;
    await this.#tidy(hidden.object);
    const earlier = await this.#read(hidden.object, name);
    if (earlier.status !== 0) {
      log.warn({ file: place.name, status: vfs.statusName(earlier.status) }, 'a published working set cannot be read');
      return earlier.status;
    }
    if (!earlier.isThere && !(await this.#hasRoom(hidden.object, place.name))) return Status.NOSPC;
    const status = await this.#put(hidden.object, name, encodeWorkingSet(merged(set, earlier.set, file)), file);
    if (status === 0) log.debug({ file: place.name, purpose: set.purpose }, 'a working set was published');
    else log.warn({ file: place.name, status: vfs.statusName(status) }, 'a published working set could not be kept');
    return status;
  }

  /** The file, if the caller may publish for it. */
  async #permitted(call: vfs.Call, place: vfs.Place): Promise<File | { readonly status: vfs.Failure }> {
    const { top, permission } = this.#options;
    const found = await top.lookup(call, place);
    if (found.status !== 0) return found;
    const got = await top.getattr(call, { object: found.object });
    if (got.status !== 0) return got;
    const { attributes } = got;
    if (attributes.type !== FileType.REGULAR || attributes.size > limits.contentFileBytes)
      return { status: Status.INVAL };
    const granted = await top.access(call, { object: found.object, access: Access.READ });
    if (granted.status !== 0) return granted;
    const mayPublish =
      permission === 'readers' ? (granted.access & Access.READ) !== 0 : this.#isOwner(call, attributes);
    if (!mayPublish) return { status: Status.ACCES };
    return (await this.#isHidden(place.directory)) ? { status: Status.INVAL } : { place, attributes };
  }

  #isOwner({ credential }: vfs.Call, { uid }: vfs.Attributes): boolean {
    const { squash } = this.#options;
    if (squash === 'all') return false;
    return credential.uid === 0 ? squash === 'none' : credential.uid === uid;
  }

  /** What lies in `.viaduct` has no sets of its own. */
  async #isHidden(directory: vfs.FileHandle): Promise<boolean> {
    const { origin } = this.#options;
    const up = await origin.lookup(this.#call, { directory, name: '..' });
    if (up.status !== 0) return false;
    const hidden = await origin.lookup(this.#call, { directory: up.object, name: contentDirectory });
    return hidden.status === 0 && hidden.object === directory;
  }

  /** `.viaduct` beside the file, made if need be as the directory around it is. */
  async #hidden({
    place,
    attributes,
  }: File): Promise<{ readonly object: vfs.FileHandle } | { readonly status: vfs.Failure }> {
    const { origin } = this.#options;
    const where = { directory: place.directory, name: contentDirectory };
    const around = await origin.getattr(this.#call, { object: place.directory });
    if (around.status !== 0) return around;
    let found = await origin.lookup(this.#call, where);
    if (found.status === Status.NOENT) {
      const mode = around.attributes.mode & 0o755;
      const made = await origin.mkdir(this.#call, {
        where,
        set: { mode: mode | 0o700, ...this.#ownerLike(around.attributes) },
      });
      if (made.status !== 0 && made.status !== Status.EXIST) return made;
      found = await origin.lookup(this.#call, where);
    }
    if (found.status !== 0) return found;
    const got = await origin.getattr(this.#call, { object: found.object });
    if (got.status !== 0) return got;
    const isTrusted = isTrustedDirectory(got.attributes, around.attributes, attributes);
    return isTrusted ? { object: found.object } : { status: Status.ACCES };
  }

  /** What is there; without a set if it is none. */
  async #read(directory: vfs.FileHandle, name: vfs.Name): Promise<Earlier> {
    const { origin } = this.#options;
    const found = await origin.lookup(this.#call, { directory, name });
    if (found.status === Status.NOENT) return { status: 0, isThere: false };
    if (found.status !== 0) return found;
    const slices: Uint8Array[] = [];
    for (let offset = 0, isEnd = false; !isEnd; ) {
      // Longer than any set.
      if (offset > limits.transferBytes) return { status: 0, isThere: true };
      const args = { object: found.object, offset, count: limits.transferBytes };
      const reply = await origin.read(this.#call, args);
      if (reply.status !== 0) return reply;
      slices.push(Buffer.concat(reply.data as Uint8Array[]));
      reply.release?.();
      offset += reply.count;
      isEnd = reply.eof || reply.count === 0;
    }
    return { status: 0, isThere: true, set: decoded(Buffer.concat(slices)) };
  }

  /** Now and then: what servers began and never put in place. */
  async #tidy(directory: vfs.FileHandle): Promise<void> {
    const { origin, clock, log } = this.#options;
    if (clock.now() - (this.#tidied.get(directory) ?? Number.NEGATIVE_INFINITY) < leftMs) return;
    if (this.#tidied.size >= mostDirectories) this.#tidied.clear();
    this.#tidied.set(directory, clock.now());
    const names = (await listNames(origin, this.#call, directory)) ?? [];
    for (const name of names.filter((one) => freshName.test(one))) {
      const found = await origin.lookup(this.#call, { directory, name });
      const got = found.status === 0 ? await origin.getattr(this.#call, { object: found.object }) : found;
      if (got.status !== 0 || got.attributes.type !== FileType.REGULAR) continue;
      if (clock.wallTimeMs() - got.attributes.mtime.seconds * 1000 < leftMs) continue;
      const { status } = await origin.remove(this.#call, { directory, name });
      log.debug({ name, status }, 'what was left of a working set is removed');
    }
  }

  async #hasRoom(directory: vfs.FileHandle, file: vfs.Name): Promise<boolean> {
    const names = await listNames(this.#options.origin, this.#call, directory);
    if (names === undefined) return false;
    const its = names.filter((name) => name.startsWith(`${file}.`) && name.endsWith('.ws'));
    return its.length < limits.workingSetPurposes;
  }

  async #put(directory: vfs.FileHandle, name: vfs.Name, bytes: Uint8Array, { attributes }: File): Promise<Status> {
    const { origin, random } = this.#options;
    const unique = Buffer.from(random.bytes(new Uint8Array(8))).toString('hex');
    const from = { directory, name: `.new-${unique}` };
    const set = { mode: attributes.mode & 0o644, ...this.#ownerLike(attributes) };
    const made = await origin.create(this.#call, { where: from, how: { mode: 'guarded', set } });
    if (made.status !== 0) return made.status;
    const status = await this.#fill(made.object, bytes);
    const renamed = status === 0 ? await origin.rename(this.#call, { from, to: { directory, name } }) : { status };
    if (renamed.status !== 0) await origin.remove(this.#call, from);
    return renamed.status;
  }

  async #fill(object: vfs.FileHandle | undefined, bytes: Uint8Array): Promise<Status> {
    if (object === undefined) return Status.SERVERFAULT;
    const { origin } = this.#options;
    const stable = vfs.Stability.FILE_SYNC;
    const reply = await origin.write(this.#call, { object, offset: 0, count: bytes.length, stable, data: [bytes] });
    if (reply.status !== 0) return reply.status;
    return reply.count === bytes.length ? 0 : Status.IO;
  }

  /** Only root may give files away; what another server makes belongs to its user, as `.viaduct` does. */
  #ownerLike({ uid, gid }: vfs.Attributes): { readonly uid?: number; readonly gid?: number } {
    return this.#options.own.uid === 0 ? { uid, gid } : {};
  }
}

function decoded(bytes: Uint8Array): WorkingSet | undefined {
  try {
    return decodeWorkingSet(bytes);
  } catch (error) {
    if (error instanceof ContentError) return undefined;
    throw error;
  }
}

/**
 * Of the version that the file is of now: the run that taught it may have changed the file, and a stamp that a client invents must not
 * outlive what others learned. Of what was written only the last run counts.
 */
function merged(set: WorkingSet, earlier: WorkingSet | undefined, { attributes }: File): WorkingSet {
  const now: WorkingSet = { ...set, stamp: vfs.stampOfAttributes(attributes) };
  const others = earlier === undefined || set.purpose === writtenPurpose ? [] : [earlier];
  return mergeWorkingSets([now, ...others], { mostBlocks: limits.workingSetBlocks });
}
