/** What the cases of the compliance suite work with: one file system, a fresh directory for each case, and short forms of common steps. */
import { strict as assert } from 'node:assert';
import * as vfs from '../../vfs/mod.ts';

/** What the file system under test can do. Each absence is tested as a refusal, or skipped with its reason printed. */
export interface SuiteCapabilities {
  /** Calls of different users are told apart, and user 0 may do everything (not so for a directory served by an ordinary user). */
  readonly root: boolean;
  /** Who makes the calls of most cases, and owns what they make. */
  readonly user: vfs.Credential;
  /** FIFOs and sockets can be made, and devices by user 0. */
  readonly specialFiles: boolean;
  readonly symbolicLinks: boolean;
  readonly hardLinks: boolean;
  /** Names may be any bytes but `/` and NUL. */
  readonly oddNames: boolean;
  /** Exclusive CREATE remembers its verifier. */
  readonly exclusiveCreate: boolean;
  /** Changes that far apart in time show in mtime and ctime. */
  readonly timeStepMs: number;
  /** The largest size a file can be given here. */
  readonly sizeBytes: number;
  /** A removed file's handle is stale at once (not when somebody else may hold the file open). */
  readonly staleAfterRemove: boolean;
  /** Entries of the large directory. */
  readonly entries: number;
  /** Cases in which a foreign server is known to answer otherwise: title and what it does. They run, and are shown as `todo`. */
  readonly differences: Readonly<Record<string, string>>;
}

export const fullCapabilities: SuiteCapabilities = {
  root: true,
  user: vfs.credential(1001, 1001, [1001, 2000]),
  specialFiles: true,
  symbolicLinks: true,
  hardLinks: true,
  oddNames: true,
  exclusiveCreate: true,
  timeStepMs: 20,
  sizeBytes: 1024 ** 4,
  staleAfterRemove: true,
  entries: 3000,
  differences: {},
};

export interface Subject {
  readonly filesystem: vfs.Filesystem;
  cleanup(): Promise<void>;
}

export type Need = 'root' | 'specialFiles' | 'symbolicLinks' | 'hardLinks' | 'oddNames' | 'exclusiveCreate';
export type Define = (title: string, body: (bench: Workbench) => Promise<void>, needs?: readonly Need[]) => void;

export const alice = fullCapabilities.user;
/** Shares group 2000 with alice. */
export const bob = vfs.credential(1002, 1002, [1002, 2000]);
export const carol = vfs.credential(1003, 1003);
export const superuser = vfs.credential(0, 0);

export function callBy(credential: vfs.Credential): vfs.Call {
  return { credential, peer: 'suite', priority: 'demand' };
}

/** The reply, which must be a success. */
export function ok<Reply extends { readonly status: number }>(reply: Reply): Reply & { readonly status: 0 } {
  assert.equal(vfs.statusName(reply.status), 'NFS3_OK');
  return reply as Reply & { readonly status: 0 };
}

/** The reply, which must have one of these statuses. */
export function refused<Reply extends { readonly status: number }>(
  reply: Reply,
  ...expected: readonly vfs.Failure[]
): Reply & { readonly status: vfs.Failure } {
  assert.ok(
    (expected as readonly number[]).includes(reply.status),
    `${vfs.statusName(reply.status)} instead of ${expected.map(vfs.statusName).join(' or ')}`,
  );
  return reply as Reply & { readonly status: vfs.Failure };
}

/** wcc_data where it is given must be true; `after` must be given for an object that exists. */
export function afterOf(wcc: vfs.WccData): vfs.Attributes {
  assert.ok(wcc.after, 'attributes after the operation are missing');
  return wcc.after;
}

export function pattern(bytes: number, seed = 1): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  let state = seed;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    buffer[i] = state >>> 24;
  }
  return buffer;
}

export class Workbench {
  readonly filesystem: vfs.Filesystem;
  readonly capabilities: SuiteCapabilities;
  readonly call: vfs.Call;
  /** An empty directory, owned by the user of `call`, mode 0755. */
  readonly directory: vfs.FileHandle;

  constructor(filesystem: vfs.Filesystem, capabilities: SuiteCapabilities, directory: vfs.FileHandle) {
    this.filesystem = filesystem;
    this.capabilities = capabilities;
    this.directory = directory;
    this.call = callBy(capabilities.user);
  }

  at(name: vfs.Name, directory: vfs.FileHandle = this.directory): vfs.Place {
    return { directory, name };
  }

  /** The handle of a made entry; servers may leave it out of the reply (RFC 1813 3.3.8). */
  async made(reply: vfs.CreateReply, where: vfs.Place, call: vfs.Call = this.call): Promise<vfs.FileHandle> {
    const done = ok(reply);
    return done.object ?? ok(await this.filesystem.lookup(call, where)).object;
  }

  async file(name: vfs.Name, content?: Uint8Array, set: vfs.SetAttributes = { mode: 0o644 }): Promise<vfs.FileHandle> {
    const where = this.at(name);
    const reply = await this.filesystem.create(this.call, { where, how: { mode: 'guarded', set } });
    const object = await this.made(reply, where);
    if (content !== undefined && content.length > 0) await this.write(object, 0, content);
    return object;
  }

  async folder(name: vfs.Name, directory: vfs.FileHandle = this.directory): Promise<vfs.FileHandle> {
    const where = this.at(name, directory);
    return this.made(await this.filesystem.mkdir(this.call, { where, set: { mode: 0o755 } }), where);
  }

  async write(
    object: vfs.FileHandle,
    offset: number,
    content: Uint8Array,
    stable: vfs.StabilityCode = vfs.Stability.FILE_SYNC,
  ): Promise<vfs.WriteReply & { status: 0 }> {
    const reply = await this.filesystem.write(this.call, {
      object,
      offset,
      count: content.length,
      stable,
      data: [content],
    });
    const done = ok(reply);
    assert.equal(done.count, content.length, 'WRITE took fewer bytes than it was given');
    return done;
  }

  /** What one READ gives, copied. */
  async read(
    object: vfs.FileHandle,
    offset: number,
    count: number,
    call: vfs.Call = this.call,
  ): Promise<{ bytes: Buffer; eof: boolean; attributes: vfs.Attributes | undefined }> {
    const reply = ok(await this.filesystem.read(call, { object, offset, count }));
    const bytes = Buffer.concat(reply.data);
    reply.release?.();
    assert.equal(bytes.length, reply.count, 'count is not the length of data');
    assert.ok(bytes.length <= count, 'READ gave more than was asked for');
    return { bytes, eof: reply.eof, attributes: reply.attributes };
  }

  /** `count` bytes, or all to the end of the file, with as many READs as that takes. */
  async readAll(object: vfs.FileHandle, offset = 0, count = Number.POSITIVE_INFINITY): Promise<Buffer> {
    const parts: Buffer[] = [];
    let done = 0;
    while (done < count) {
      const { bytes, eof } = await this.read(object, offset + done, Math.min(count - done, 256 * 1024));
      parts.push(bytes);
      done += bytes.length;
      if (eof) break;
      assert.ok(bytes.length > 0, 'READ gave nothing before the end of the file');
    }
    return Buffer.concat(parts);
  }

  async attributes(object: vfs.FileHandle, call: vfs.Call = this.call): Promise<vfs.Attributes> {
    return ok(await this.filesystem.getattr(call, { object })).attributes;
  }

  async set(object: vfs.FileHandle, set: vfs.SetAttributes, call: vfs.Call = this.call): Promise<vfs.WccReply> {
    return ok(await this.filesystem.setattr(call, { object, set }));
  }

  async exists(name: vfs.Name, directory: vfs.FileHandle = this.directory): Promise<boolean> {
    const reply = await this.filesystem.lookup(this.call, { directory, name });
    if (reply.status !== 0) refused(reply, vfs.Status.NOENT);
    return reply.status === 0;
  }

  /** All entries but `.` and `..`, page by page. */
  async entries(
    directory: vfs.FileHandle,
    options: { plus?: boolean; directoryBytes?: number; replyBytes?: number } = {},
  ): Promise<vfs.DirectoryEntryPlus[]> {
    const all: vfs.DirectoryEntryPlus[] = [];
    let cookie = 0n;
    let cookieVerifier: vfs.Verifier = '\0\0\0\0\0\0\0\0';
    for (;;) {
      const args: vfs.ReaddirArguments = {
        directory,
        cookie,
        cookieVerifier,
        directoryBytes: options.directoryBytes ?? 8192,
        replyBytes: options.replyBytes ?? 32768,
      };
      const reply: vfs.ReaddirReply<vfs.DirectoryEntryPlus> =
        options.plus === true
          ? await this.filesystem.readdirplus(this.call, args)
          : await this.filesystem.readdir(this.call, args);
      const page = ok(reply);
      all.push(...page.entries);
      if (page.eof) break;
      assert.ok(page.entries.length > 0, 'a page without entries that is not the last');
      cookie = page.entries.at(-1)!.cookie;
      assert.notEqual(cookie, 0n, 'an entry has cookie 0');
      cookieVerifier = page.cookieVerifier;
    }
    return all.filter((entry) => entry.name !== '.' && entry.name !== '..');
  }

  async names(directory: vfs.FileHandle = this.directory): Promise<string[]> {
    return (await this.entries(directory)).map((entry) => entry.name).sort();
  }

  /** Long enough for the next change to have another time. */
  pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.capabilities.timeStepMs));
  }
}

export function isBefore(a: vfs.Time, b: vfs.Time): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.nanoseconds < b.nanoseconds);
}
