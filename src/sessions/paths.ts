/**
 * From places to paths inside the export and back, for people: what `viaduct status` prints and what FILE on the command line means.
 *
 *     pathOf:  place ──► directory ──LOOKUP ".."──► parent, READDIR for its fileid ──► ... ──► root        remembered
 *     find:    /a/b/c ──LOOKUP a, b, c──► handle
 *
 * Only directories that hold changed files are ever asked for. Names are bytes (latin1 inside, UTF-8 outside). With the origin away
 * a name may be unknown: `pathOf` answers undefined and learns it in the background.
 */
import { type Clock, limits, ViaductError } from '../base/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { FileType, Status, statusName } from '../vfs/mod.ts';

export type PathSource = Pick<vfs.Filesystem, 'root' | 'lookup' | 'getattr' | 'readdir'>;

interface KnownName {
  readonly place: vfs.Place;
  readonly atMs: number;
}

/** A directory that was renamed keeps its old name here for so long. */
const believedMs = 60_000;
/** Directories above one another. */
const deepest = 64;
/** READDIR calls to find one directory's name. */
const pages = 256;
const pageBytes = 32 * 1024;
/** What says that a path means no file; any other refusal says nothing about it. */
const absences: readonly number[] = [
  ...[Status.NOENT, Status.NOTDIR, Status.STALE, Status.NAMETOOLONG, Status.INVAL],
  ...[Status.PERM, Status.ACCES],
];

export function noFile(path: string, why: string): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `${path}: ${why}.`,
    remedy: 'Give the path of a file as clients of the session see it, for example /golden/disk.raw.',
  });
}

export class Paths {
  readonly #source: PathSource;
  readonly #call: vfs.Call;
  readonly #clock: Clock;
  readonly #directories = new Map<vfs.FileHandle, KnownName>();
  readonly #asking = new Map<vfs.FileHandle, Promise<void>>();

  constructor(source: PathSource, credential: vfs.Credential, clock: Clock) {
    this.#source = source;
    this.#call = { credential, peer: 'paths', priority: 'demand' };
    this.#clock = clock;
  }

  /** What is known now. */
  pathOf(place: vfs.Place | undefined): string | undefined {
    if (place === undefined) return undefined;
    const names = [place.name];
    let { directory } = place;
    while (directory !== this.#source.root) {
      const known = this.#directories.get(directory);
      if (known === undefined || this.#clock.now() - known.atMs > believedMs) this.#learn(directory);
      if (known === undefined || names.length > deepest) return undefined;
      names.unshift(known.place.name);
      directory = known.place.directory;
    }
    return `/${names.map(readable).join('/')}`;
  }

  /** Waits until what `pathOf` asked for is known, or cannot be. */
  async settled(): Promise<void> {
    while (this.#asking.size > 0) await Promise.all(this.#asking.values());
  }

  /** The file that a path means. Undefined: there is none, or it may not be looked up. Rejects if the origin cannot tell. */
  async find(path: string): Promise<{ readonly handle: vfs.FileHandle; readonly type: number } | undefined> {
    let handle = this.#source.root;
    let type: number = FileType.DIRECTORY;
    for (const name of path.split('/').filter((part) => part !== '' && part !== '.')) {
      const found = await this.#source.lookup(this.#call, { directory: handle, name: bytesOf(name) });
      if (found.status !== 0) return absent(path, found.status);
      handle = found.object;
      if (found.attributes !== undefined) {
        type = found.attributes.type;
        continue;
      }
      const asked = await this.#source.getattr(this.#call, { object: handle });
      if (asked.status !== 0) return absent(path, asked.status);
      type = asked.attributes.type;
    }
    return { handle, type };
  }

  /** Likewise; rejects if it is none. */
  async findFile(path: string): Promise<vfs.FileHandle> {
    const found = await this.find(path);
    if (found !== undefined && found.type !== FileType.DIRECTORY) return found.handle;
    throw noFile(path, found === undefined ? 'there is no such file in the export' : 'this is a directory');
  }

  #learn(directory: vfs.FileHandle): void {
    if (this.#asking.has(directory)) return;
    // A directory that has no name any more, or an origin that cannot tell: the path stays unknown.
    const asking = this.#ask(directory)
      .catch(() => {})
      .finally(() => this.#asking.delete(directory));
    this.#asking.set(directory, asking);
  }

  async #ask(directory: vfs.FileHandle): Promise<void> {
    const own = await this.#attributes(directory);
    const up = await this.#source.lookup(this.#call, { directory, name: '..' });
    if (own === undefined || up.status !== 0) return;
    const name = await this.#nameIn(up.object, directory, own.fileid);
    if (name === undefined) return;
    if (this.#directories.size >= limits.pathEntries) this.#directories.clear();
    this.#directories.set(directory, { place: { directory: up.object, name }, atMs: this.#clock.now() });
    if (up.object !== this.#source.root && !this.#directories.has(up.object)) this.#learn(up.object);
  }

  /** The parent's entry with this fileid that really is the directory. */
  async #nameIn(parent: vfs.FileHandle, child: vfs.FileHandle, fileid: bigint): Promise<vfs.Name | undefined> {
    let cookie = 0n;
    let cookieVerifier = '\0'.repeat(8);
    for (let page = 0; page < pages; page++) {
      const args = { directory: parent, cookie, cookieVerifier, directoryBytes: pageBytes, replyBytes: pageBytes };
      const reply = await this.#source.readdir(this.#call, args);
      if (reply.status !== 0) return undefined;
      for (const entry of reply.entries) {
        cookie = entry.cookie;
        if (entry.fileid !== fileid || entry.name === '.' || entry.name === '..') continue;
        const found = await this.#source.lookup(this.#call, { directory: parent, name: entry.name });
        if (found.status === 0 && found.object === child) return entry.name;
      }
      if (reply.eof || reply.entries.length === 0) return undefined;
      ({ cookieVerifier } = reply);
    }
    return undefined;
  }

  async #attributes(object: vfs.FileHandle): Promise<vfs.Attributes | undefined> {
    const reply = await this.#source.getattr(this.#call, { object });
    return reply.status === 0 ? reply.attributes : undefined;
  }
}

function absent(path: string, status: number): undefined {
  if (absences.includes(status)) return undefined;
  throw new ViaductError('ORIGIN_UNREACHABLE', {
    cause: `${path} could not be looked up at the origin (${statusName(status)}).`,
    remedy: 'Try again when the origin answers (`viaduct status`); what is here is kept.',
  });
}

/** Names that are not UTF-8 stay as they are, one character a byte. */
export function readable(name: vfs.Name): string {
  const text = Buffer.from(name, 'latin1').toString('utf8');
  return text.includes('\ufffd') ? name : text;
}

function bytesOf(name: string): vfs.Name {
  return Buffer.from(name, 'utf8').toString('latin1');
}
