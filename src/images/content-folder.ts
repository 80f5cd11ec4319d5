/**
 * The folder `.viaduct` beside an image: what is in it is found by descriptor and never through a symbolic link, so that a folder
 * which others may write to cannot lead root astray. Files are made under private names and put in their place by rename.
 *
 * Meta-data is believed only if the image's owner owns it and nobody else may write it (src/layers/content/trust.ts): owner and mode
 * follow the image, and never let more people read than the image does.
 */
import { constants, fchmodSync, fchownSync, fstatSync, fsyncSync } from 'node:fs';
import { systemCode, ViaductError } from '../base/mod.ts';
import { contentDirectory } from '../content/mod.ts';
import {
  AT_REMOVEDIR,
  closeDescriptor,
  DirectoryReader,
  flockExclusive,
  makeDirectoryAt,
  openAt,
  renameAt,
  StatusReader,
  unlinkAt,
} from '../native/mod.ts';
import { attempt, failure, succeeded } from './failure.ts';
import { type FileStatus, hasAccessList, type ImageFile, isRegular, statusOf } from './image-file.ts';
import { toText } from './paths.ts';

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY;
const EACCES = -13;
const EEXIST = -17;
const EWOULDBLOCK = -11;
const ENOENT = -2;
const ELOOP = -40;
const ENOTDIR = -20;

interface Look {
  readonly key: string;
  readonly changedSeconds: number;
  /** Bytes, owner, mode or name. */
  readonly touchedSeconds: number;
}

export class ContentFolder {
  readonly #fd: number;
  /** For people. */
  readonly #where: string;

  private constructor(fd: number, where: string) {
    this.#fd = fd;
    this.#where = where;
  }

  /** Of an open folder; undefined: there is none. */
  static find(around: number, where: string): ContentFolder | undefined {
    const fd = openAt(around, contentDirectory, directoryFlags);
    if (fd === ENOENT) return undefined;
    const what = `${where}/${contentDirectory}`;
    if (fd === ELOOP || fd === ENOTDIR) {
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `${what} is not a folder.`,
        remedy: 'Remove it: that name is where meta-data of images lies.',
      });
    }
    return new ContentFolder(succeeded(`open ${what}`, fd), what);
  }

  static of(image: ImageFile): ContentFolder | undefined {
    return ContentFolder.find(image.around, folderOf(image));
  }

  /** The folder, made if it is not there: with owner and mode of the folder around it. */
  static make(image: ImageFile): ContentFolder {
    const where = folderOf(image);
    const known = ContentFolder.find(image.around, where);
    if (known !== undefined) return known;
    const made = makeDirectoryAt(image.around, contentDirectory, 0o700);
    if (made !== EEXIST) succeeded(`make the folder ${where}/${contentDirectory}`, made);
    const folder = ContentFolder.find(image.around, where);
    if (folder === undefined) throw failure(`make the folder ${where}/${contentDirectory}`, ENOENT);
    if (made === EEXIST) return folder;
    try {
      folder.#follow(image.around);
      return folder;
    } catch (error) {
      // One that only this user can look into would stay so: nobody gives it its owner later.
      folder.close();
      unlinkAt(image.around, contentDirectory, AT_REMOVEDIR);
      throw error;
    }
  }

  /** Binary names, in no order. */
  names(): string[] {
    const reader = new DirectoryReader();
    const names: string[] = [];
    succeeded(`read ${this.#where}`, reader.seek(this.#fd, 0n));
    for (;;) {
      const entries = reader.next(this.#fd);
      if (typeof entries === 'number') throw failure(`read ${this.#where}`, entries);
      if (entries.length === 0) return names;
      for (const { name } of entries) if (name !== '.' && name !== '..') names.push(name);
    }
  }

  /** A descriptor for reading; undefined: there is no such regular file. */
  open(name: string): number | undefined {
    const fd = openAt(this.#fd, name, constants.O_RDONLY | constants.O_NONBLOCK);
    if (fd === ENOENT || fd === ELOOP) return undefined;
    succeeded(`open ${this.pathOf(name)}`, fd);
    if (isRegular(fd)) return fd;
    closeDescriptor(fd);
    return undefined;
  }

  /** A descriptor for reading and writing of a file that only this user may read, made if it is not there. */
  openOwn(name: string): number {
    const doing = `make ${this.pathOf(name)}`;
    let result = EEXIST;
    for (let turn = 0; turn < 3; turn++) {
      const fd = openAt(this.#fd, name, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o600);
      if (fd >= 0) {
        const { uid, nlink } = fstatSync(fd);
        if (isRegular(fd) && uid === process.geteuid?.() && nlink <= 1) return fd;
        const isInUse = isRegular(fd) && flockExclusive(fd) === EWOULDBLOCK;
        closeDescriptor(fd);
        if (isInUse) throw this.#someoneElses(name);
      } else if (fd === EACCES) {
        // Whether another user's packer is at work cannot be seen.
        const reader = new StatusReader();
        if (reader.ofName(this.#fd, name) === 0 && reader.uid !== process.geteuid?.()) throw this.#someoneElses(name);
      } else if (fd !== ELOOP) succeeded(doing, fd);
      result = fd < 0 ? fd : EEXIST;
      // What somebody else put there and does not use, or what may not be written to any more, is not used.
      this.remove(name);
    }
    throw failure(doing, result);
  }

  #someoneElses(name: string): ViaductError {
    return new ViaductError('IMAGE_BUSY', {
      cause: `another user packs the image, or began to: ${this.pathOf(name)} is his.`,
      remedy: 'Wait until it is done; if nobody packs it any more, remove that file.',
    });
  }

  /** A descriptor of a new file that only this user may read so far. */
  create(name: string): number {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
    return succeeded(`make ${this.pathOf(name)}`, openAt(this.#fd, name, flags, 0o600));
  }

  put(from: string, to: string): void {
    succeeded(`make ${this.pathOf(to)}`, renameAt(this.#fd, from, this.#fd, to));
  }

  /** Nothing if it is not there. */
  remove(name: string): void {
    const result = unlinkAt(this.#fd, name);
    if (result !== ENOENT) succeeded(`remove ${this.pathOf(name)}`, result);
  }

  /** Whether the name still means the open file. */
  isNamed(fd: number, name: string): boolean {
    const reader = new StatusReader();
    if (reader.ofName(this.#fd, name) < 0) return false;
    const status = statusOf(fd);
    return typeof status !== 'number' && status.stamp.fileid === reader.inode && status.device === reader.device;
  }

  /** What is there under a name: the same file has the same key. */
  look(name: string): Look | undefined {
    const reader = new StatusReader();
    if (reader.ofName(this.#fd, name) < 0) return undefined;
    const { mtimeSeconds, ctimeSeconds } = reader;
    const touchedSeconds = Math.max(mtimeSeconds, ctimeSeconds);
    return { key: `${reader.device}:${reader.inode}`, changedSeconds: mtimeSeconds, touchedSeconds };
  }

  sync(): void {
    attempt(`write ${this.#where} to its disk`, () => fsyncSync(this.#fd));
  }

  pathOf(name: string): string {
    return `${this.#where}/${toText(name)}`;
  }

  /** For people: of an image beside the folder. */
  imagePathOf(name: string): string {
    return `${this.#where.slice(0, -contentDirectory.length)}${toText(name)}`;
  }

  close(): void {
    closeDescriptor(this.#fd);
  }

  #follow(around: number): void {
    const status = statusOf(around);
    if (typeof status === 'number') throw failure(`look at the folder around ${this.#where}`, status);
    const isGroups = attempt(`give ${this.#where} its owner`, () => takeOwner(this.#fd, status, status.uid));
    const mode = isGroups && !hasAccessList(around) ? status.mode : status.mode & ~0o2070;
    attempt(`set the mode of ${this.#where}`, () => fchmodSync(this.#fd, mode | 0o700));
  }
}

/** Gives a file of ours owner and mode of the image. Throws if this user cannot. */
export function followImage(fd: number, image: ImageFile, status: FileStatus): void {
  attempt(`give the meta-data of ${image.path} its owner`, () => {
    const isGroups = takeOwner(fd, status, status.uid);
    const mode = status.mode & 0o666;
    fchmodSync(fd, isGroups && !hasAccessList(image.fd) ? mode : mode & ~0o070);
  });
}

/** Before hours of work are done for nothing. */
export function checkOwner(image: ImageFile, { uid }: FileStatus): void {
  const own = process.geteuid?.() ?? 0;
  if (own === 0 || own === uid) return;
  throw new ViaductError('PRIVILEGE_NEEDED', {
    cause: `${image.path} belongs to user ${uid}, and this is user ${own}: meta-data of somebody else's would not be believed.`,
    remedy: 'Run it as the owner of the image, or as root.',
  });
}

/** Whether the group is the wanted one; a user who is no member of it cannot give it. */
function takeOwner(fd: number, { gid }: FileStatus, uid: number): boolean {
  const isRoot = process.geteuid?.() === 0;
  try {
    fchownSync(fd, isRoot ? uid : -1, gid);
    return true;
  } catch (error) {
    if (isRoot || systemCode(error) !== 'EPERM') throw error;
    return fstatSync(fd).gid === gid;
  }
}

function folderOf(image: ImageFile): string {
  const slash = image.path.lastIndexOf('/');
  return slash <= 0 ? '' : image.path.slice(0, slash);
}
