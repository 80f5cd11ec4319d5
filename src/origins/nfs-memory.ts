/**
 * What is remembered of an NFS origin from its last mount, so that a session can start while it is away: `origin-DIGEST.json` in
 * the state directory, one for each address.
 *
 * Written so that it is whole, old or new, after a crash. What is damaged counts as not there: then the origin is needed, as
 * without a memory. It holds no secrets beyond the root handle, and is readable by its owner alone.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Log, systemCode } from '../base/mod.ts';
import { makeDirectory, replaceFile } from '../native/mod.ts';
import type { FileHandle, FsinfoReply, FsstatReply, PathconfReply } from '../vfs/mod.ts';
import { formatOrigin, type NfsAddress } from './address.ts';

const number64 = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform(BigInt);
const natural = z.number().int().min(0);
const bytes = z
  .string()
  .regex(/^([0-9a-f]{2})*$/)
  .transform((hex) => Buffer.from(hex, 'hex').toString('latin1'));
const schema = z.strictObject({
  version: z.literal(1),
  /** For people who look into the file. */
  origin: z.string(),
  root: bytes.refine((root) => root.length > 0 && root.length <= 64),
  nfsPort: z.number().int().min(1).max(65_535),
  privilegedPort: z.boolean(),
  fsid: number64,
  fileid: number64,
  info: z.strictObject({
    readMaximum: natural,
    readPreferred: natural,
    readMultiple: natural,
    writeMaximum: natural,
    writePreferred: natural,
    writeMultiple: natural,
    readdirPreferred: natural,
    maximumFileBytes: z.number().min(0),
    timeDelta: z.strictObject({ seconds: natural, nanoseconds: natural }),
    properties: natural,
  }),
  pathconf: z
    .strictObject({
      linkMaximum: natural,
      nameMaximum: natural,
      noTruncation: z.boolean(),
      chownRestricted: z.boolean(),
      caseInsensitive: z.boolean(),
      casePreserving: z.boolean(),
    })
    .optional(),
  fsstat: z
    .strictObject({
      totalBytes: z.number().min(0),
      freeBytes: z.number().min(0),
      availableBytes: z.number().min(0),
      totalFiles: z.number().min(0),
      freeFiles: z.number().min(0),
      availableFiles: z.number().min(0),
      invariantSeconds: natural,
    })
    .optional(),
  hello: z
    .strictObject({ version: z.number().int(), features: z.array(z.string()).max(64), server: bytes, start: bytes })
    .optional(),
});

export interface RememberedOrigin {
  readonly root: FileHandle;
  readonly nfsPort: number;
  readonly privilegedPort: boolean;
  /** Of the root. */
  readonly fsid: bigint;
  readonly fileid: bigint;
  /** Of the root, without attributes. */
  readonly info: Omit<Extract<FsinfoReply, { status: 0 }>, 'status' | 'attributes'>;
  /** Likewise; absent: the server refused to say. */
  readonly pathconf?: Omit<Extract<PathconfReply, { status: 0 }>, 'status' | 'attributes'> | undefined;
  /** Likewise, as it was at the last mount: advice (RFC 1813 3.3.18). */
  readonly fsstat?: Omit<Extract<FsstatReply, { status: 0 }>, 'status' | 'attributes'> | undefined;
  /** What the server said on the channel; absent: a plain NFS server. */
  readonly hello?:
    | {
        readonly version: number;
        readonly features: readonly string[];
        readonly server: string;
        readonly start: string;
      }
    | undefined;
}

export class OriginMemory {
  readonly #directory: string;
  readonly #path: string;
  readonly #origin: string;
  readonly #log: Log;

  constructor(directory: string, address: NfsAddress, log: Log) {
    this.#directory = directory;
    this.#origin = formatOrigin(address);
    const digest = createHash('sha256').update(this.#origin).digest('hex').slice(0, 16);
    this.#path = join(directory, `origin-${digest}.json`);
    this.#log = log;
  }

  load(): RememberedOrigin | undefined {
    try {
      const { version: _version, origin, ...remembered } = schema.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
      return origin === this.#origin ? remembered : undefined;
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') {
        this.#log.warn({ path: this.#path, cause: String(error) }, 'what was remembered of the origin cannot be read');
      }
      return undefined;
    }
  }

  /** A memory that cannot be written is no reason not to start: it is only missed in an outage. */
  save(remembered: RememberedOrigin): void {
    const { root, fsid, fileid, hello, ...plain } = remembered;
    const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');
    const text = JSON.stringify({
      version: 1,
      origin: this.#origin,
      root: hex(root),
      fsid: String(fsid),
      fileid: String(fileid),
      hello: hello && { ...hello, server: hex(hello.server), start: hex(hello.start) },
      ...plain,
    });
    try {
      makeDirectory(this.#directory, 0o700);
      replaceFile(this.#path, text, { isSynced: true });
    } catch (error) {
      const fields = { path: this.#path, cause: String(error) };
      this.#log.warn(fields, 'the origin cannot be remembered: a session will not start while it is away');
    }
  }
}
