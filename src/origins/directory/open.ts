/**
 * Opens a directory as an origin: looks at what the process may do and the file system can, and chooses accordingly.
 *
 * The rules, for those who serve:
 * - User 0: callers are checked by mode bits and ACLs, and files are made as them. Another user: all is done as that user, who
 *   owns all new files; callers are still checked by the mode bits, and ACCESS grants what both may do.
 * - A file system mounted below the directory is listed and not entered (LOOKUP is ACCES): serve it by itself. Subvolumes of
 *   btrfs are entered, with an fsid of their own.
 * - A file that is moved out of the directory locally keeps its handle where the kernel opens handles (as with the Linux
 *   server's no_subtree_check), but leads no further: `..` out of the export is STALE.
 * - Where the kernel does not open handles, a file that was moved locally is searched among 20,000 names; if it is not found
 *   there, its old handle is STALE until it is looked up again, and then it is the same handle.
 * - On overlayfs without nfs_export the first write to a file of a lower layer makes another file of it: its handle becomes STALE.
 */
import { createHmac } from 'node:crypto';
import { constants, readFileSync, realpathSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { type Clock, type Log, type Random, systemCode, ViaductError } from '../../base/mod.ts';
import { closeDescriptor, fileSystemStatus, KernelHandles, O_PATH, reopen, StatusReader } from '../../native/mod.ts';
import { credential, type FileHandle, type Filesystem, type TreeLocator } from '../../vfs/mod.ts';
import { Export, fsidOf } from './export.ts';
import { DirectoryFilesystem } from './filesystem.ts';
import { type FileIdentity, HandleCodec, HandleKind, identityOf } from './handle.ts';
import { OpenFiles } from './open-files.ts';
import { Places } from './places.ts';
import { KernelResolver, type Resolver, TableResolver } from './resolver.ts';
import { loadKey } from './state.ts';
import { type Disk, systemDisk } from './sync.ts';

export interface DirectoryOriginOptions {
  /** The directory to serve. */
  readonly path: string;
  /** Where the key of the handles and the table of places are kept; not for clients to see. */
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Every change is ROFS. */
  readonly readOnly?: boolean | undefined;
  /** `table` even where the kernel opens handles: for tests. */
  readonly handles?: 'kernel' | 'table' | undefined;
  /** For tests: a disk whose syncs fail. */
  readonly disk?: Disk | undefined;
  /** For tests; otherwise from the process's limit of open files. */
  readonly maximumDescriptors?: number | undefined;
}

/** It honours `expected` of WRITE and SETATTR. */
export interface DirectoryOrigin extends Filesystem {
  readonly locator: TreeLocator;
}

/** File systems whose f_fsid comes from their UUID, so that it outlives a change of device numbers (ext4, btrfs). */
const stableIds = new Set([0xef53, 0x9123683e]);

/**
 * Serves `path`. As user 0 (CAP_DAC_READ_SEARCH) handles are opened by the kernel; otherwise a table in the state directory
 * finds files again. The handles themselves are the same in both cases.
 */
export async function openDirectoryOrigin(options: DirectoryOriginOptions): Promise<DirectoryOrigin> {
  const rootFd = await openRoot(options.path);
  try {
    return start(options, rootFd);
  } catch (error) {
    closeDescriptor(rootFd);
    throw error;
  }
}

function start(options: DirectoryOriginOptions, rootFd: number): DirectoryOrigin {
  const { clock, log, random, stateDirectory } = options;
  const kernel = new KernelHandles();
  const status = new StatusReader();
  const rootIdentity = identityOf(rootFd, kernel, status);
  const result = status.ofDescriptor(rootFd);
  if (result < 0 || typeof rootIdentity === 'number') throw invalid(options.path, `it cannot be examined (${result})`);
  warnOfState(options);
  if (rootIdentity.kind === HandleKind.STATUS && !status.hasBirthTime) {
    const message =
      'the file system has neither handles nor birth times: a new file that gets the inode number of a removed one cannot be told from it';
    log.warn({ path: options.path }, message);
  }
  const domain = domainOf(rootFd, rootIdentity, status);
  const key = createHmac('sha256', loadKey(stateDirectory, random)).update(domain, 'latin1').digest();
  const codec = new HandleCodec(key);
  const root = codec.encode(rootIdentity);
  const { mount, deviceMajor, deviceMinor } = status;
  const resolver =
    options.handles !== 'table' && kernelOpens(kernel, rootFd, rootIdentity)
      ? new KernelResolver(kernel, rootFd)
      : tableResolver(options, { kernel, codec, rootFd, root, mount });
  const uid = process.geteuid?.() ?? 0;
  const exported: Export = new Export(
    {
      rootFd,
      root,
      fsid: fsidOf(domain),
      mount,
      deviceMajor,
      deviceMinor,
      privileged: uid === 0,
      own: credential(uid, process.getegid?.() ?? 0, process.getgroups?.() ?? []),
      readOnly: options.readOnly ?? false,
      umask: ownUmask(),
      codec,
      kernel,
      status,
      resolver,
      disk: options.disk ?? systemDisk,
      log,
      clock,
      random,
    },
    new OpenFiles({
      clock,
      maximumDescriptors: options.maximumDescriptors ?? descriptorShare(),
      settle: (file) => exported.persist([file], true),
    }),
  );
  log.info({ path: options.path, handles: resolver.kind, privileged: uid === 0 }, 'directory opened');
  const identity = createHmac('sha256', key).update('identity').digest('hex').slice(0, 32);
  return new DirectoryFilesystem(exported, `directory:${identity}`);
}

async function openRoot(path: string): Promise<number> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const fd = reopen(handle.fd, constants.O_RDONLY | constants.O_DIRECTORY);
      if (fd < 0) throw invalid(path, `it cannot be opened (errno ${-fd}; is /proc mounted?)`);
      return fd;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof ViaductError) throw error;
    const code = systemCode(error);
    const why =
      code === 'ENOENT'
        ? 'it does not exist'
        : code === 'ENOTDIR'
          ? 'it is not a directory'
          : `it cannot be opened (${code})`;
    throw invalid(path, why, error);
  }
}

function invalid(path: string, why: string, from?: unknown): ViaductError {
  return new ViaductError('ORIGIN_INVALID', {
    cause: `${path} cannot be served: ${why}.`,
    remedy: 'Name an existing directory that this user may list, or an nfs:// URL.',
    from,
  });
}

/**
 * What makes this export this export: the root directory and its file system. With another root, or another file system at
 * the same place, all handles of before are STALE.
 */
function domainOf(rootFd: number, identity: FileIdentity, status: StatusReader): string {
  const found = fileSystemStatus(rootFd);
  const id = typeof found !== 'number' && stableIds.has(found.type) ? found.id : '';
  const birth = status.hasBirthTime ? status.birthTime : '';
  return JSON.stringify(['viaduct export 1', id, birth, identity.kind, identity.bytes]);
}

/** Tried, for user 0 in a container may not have the capability. */
function kernelOpens(kernel: KernelHandles, rootFd: number, identity: FileIdentity): boolean {
  if (identity.kind >= HandleKind.HASHED) return false;
  const fd = kernel.open(rootFd, identity.kind, identity.bytes, O_PATH);
  if (fd < 0) return false;
  closeDescriptor(fd);
  return true;
}

function tableResolver(
  options: DirectoryOriginOptions,
  parts: { kernel: KernelHandles; codec: HandleCodec; rootFd: number; root: FileHandle; mount: bigint },
): Resolver {
  const { root: rootHandle, ...rest } = parts;
  const places = new Places(options.stateDirectory);
  // A reader of its own: a search may run while another reader's last result is still in use.
  return new TableResolver({ ...rest, rootHandle, status: new StatusReader(), places, clock: options.clock });
}

/** A quarter of the process's descriptors; the rest is for connections and caches. */
function descriptorShare(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
  const allowed = line === null ? 1024 : Number(line[1]);
  return Math.min(1024, Math.max(64, Math.floor(allowed / 4)));
}

function ownUmask(): number {
  const line = /^Umask:\s+([0-7]+)/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return line === null ? 0o777 : Number.parseInt(line[1]!, 8);
}

function warnOfState(options: DirectoryOriginOptions): void {
  const exported = realpathSync(options.path);
  const inside = `${resolve(options.stateDirectory)}${sep}`.startsWith(exported === sep ? sep : `${exported}${sep}`);
  if (!inside) return;
  options.log.warn(
    { path: options.path, stateDirectory: options.stateDirectory },
    'the state directory lies in the export: clients that act as its owner can read the key that handles are signed with',
  );
}
