/** What the tests of this folder share: a directory to serve and a state directory for each test, and short forms of calls. */
import { execFileSync } from 'node:child_process';
import * as nodeFs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../../base/mod.ts';
import { ok } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { type DirectoryOrigin, type DirectoryOriginOptions, openDirectoryOrigin } from './mod.ts';

export const isRoot = process.geteuid?.() === 0;
export const own: vfs.Credential = vfs.credential(process.geteuid?.() ?? 0, process.getegid?.() ?? 0);
export const call: vfs.Call = { credential: own, peer: 'test', priority: 'demand' };

export interface Workplace {
  readonly top: string;
  readonly exported: string;
  start(options?: Partial<DirectoryOriginOptions>): Promise<DirectoryOrigin>;
  stop(filesystem: vfs.Filesystem): Promise<void>;
  /** Writes a file below the export, with the directories above it. */
  put(path: string, content?: string): void;
}

/** Fresh before each test of the file that calls this; everything started is closed after it. */
export function workplace(): Workplace {
  let top = '';
  let open: vfs.Filesystem[] = [];
  const exported = (): string => join(top, 'export');
  beforeEach(() => {
    top = nodeFs.mkdtempSync(join(tmpdir(), 'viaduct-directory-'));
    nodeFs.mkdirSync(exported());
  });
  afterEach(async () => {
    for (const filesystem of open) await filesystem.close();
    open = [];
    nodeFs.rmSync(top, { recursive: true });
  });
  return {
    get top() {
      return top;
    },
    get exported() {
      return exported();
    },
    async start(options = {}) {
      const paths = { path: exported(), stateDirectory: join(top, 'state') };
      const base = { clock: systemClock, log: silentLog, random: systemRandom };
      const filesystem = await openDirectoryOrigin({ ...paths, ...base, ...options });
      open.push(filesystem);
      return filesystem;
    },
    async stop(filesystem) {
      open = open.filter((one) => one !== filesystem);
      await filesystem.close();
    },
    put(path, content = '') {
      nodeFs.mkdirSync(join(exported(), path, '..'), { recursive: true });
      nodeFs.writeFileSync(join(exported(), path), content);
    },
  };
}

export async function walk(filesystem: vfs.Filesystem, path: string): Promise<vfs.FileHandle> {
  let object = filesystem.root;
  for (const name of path.split('/')) object = ok(await filesystem.lookup(call, { directory: object, name })).object;
  return object;
}

export async function text(filesystem: vfs.Filesystem, object: vfs.FileHandle): Promise<string> {
  return Buffer.concat(ok(await filesystem.read(call, { object, offset: 0, count: 4096 })).data).toString();
}

export async function create(filesystem: vfs.Filesystem, name: string, by = call): Promise<vfs.CreateReply> {
  const where = { directory: filesystem.root, name };
  return filesystem.create(by, { where, how: { mode: 'guarded', set: { mode: 0o600 } } });
}

export function page(directory: vfs.FileHandle, cookie: bigint): vfs.ReaddirArguments {
  return { directory, cookie, cookieVerifier: '\0'.repeat(8), directoryBytes: 32768, replyBytes: 65536 };
}

/** In some containers user 0 may not mount. */
export function canMount(): boolean {
  if (!isRoot) return false;
  const place = nodeFs.mkdtempSync(join(tmpdir(), 'viaduct-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', place], { stdio: 'ignore' });
    execFileSync('umount', [place]);
    return true;
  } catch {
    return false;
  } finally {
    nodeFs.rmdirSync(place);
  }
}
