/**
 * Where a session keeps what it knows of the files in use (src/layers/keepsakes.ts): `known-ADDRESS-PORT` in its state directory,
 * lines of JSON.
 *
 *     {"version":1,"boot":"...","identity":"nfs:..."}
 *     {"handle":"hex","attributes":{...},"grants":{"0:0:":31},"place":{...}}     one a file
 *     {"forget":"hex"}                                                                                     appended as files change
 *
 * Nothing is synced: what write(2) took survives the process, and a file of another boot of the host counts for nothing. The same
 * goes for one of another origin, and one that is not understood to the last line.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { type Log, systemCode } from '../base/mod.ts';
import type { Keepsake, KeepsakeStore } from '../layers/mod.ts';
import { makeDirectory } from '../native/mod.ts';
import type { FileTypeCode } from '../vfs/mod.ts';

const bytes = z
  .string()
  .regex(/^([0-9a-f]{2})+$/)
  .transform((hex) => Buffer.from(hex, 'hex').toString('latin1'));
const number64 = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform(BigInt);
const natural = z.number().int().min(0);
const time = z.strictObject({ seconds: natural, nanoseconds: natural });
const headerSchema = z.strictObject({ version: z.literal(1), boot: z.string(), identity: z.string() });
const forgetSchema = z.strictObject({ forget: bytes });
const keepsakeSchema = z.strictObject({
  handle: bytes,
  attributes: z.strictObject({
    type: z
      .number()
      .int()
      .min(1)
      .max(7)
      .transform((type) => type as FileTypeCode),
    mode: natural,
    nlink: natural,
    uid: natural,
    gid: natural,
    size: natural,
    used: natural,
    deviceMajor: natural,
    deviceMinor: natural,
    fsid: number64,
    fileid: number64,
    atime: time,
    mtime: time,
    ctime: time,
  }),
  grants: z.record(z.string(), natural),
  place: z.strictObject({ directory: bytes, name: bytes, searchers: z.array(z.string()) }).optional(),
});

export interface KeepsakeFileOptions {
  readonly path: string;
  /** Which boot of the host this is. */
  readonly boot: string;
  /** Of the origin's handles. */
  readonly identity: string;
  readonly log: Log;
}

export class KeepsakeFile implements KeepsakeStore {
  readonly #options: KeepsakeFileOptions;
  /** Of the file as it is now; undefined: there is none that counts. */
  #fd: number | undefined;
  #text = '';
  #warned = false;

  constructor(options: KeepsakeFileOptions) {
    this.#options = options;
  }

  load(): readonly Keepsake[] {
    const { path, boot, identity, log } = this.#options;
    try {
      const [first = '', ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
      if (first === '') return [];
      const header = headerSchema.parse(JSON.parse(first));
      if (header.boot !== boot || header.identity !== identity) return [];
      const kept = parseLines(lines);
      this.#fd = openSync(path, 'a');
      return kept;
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') log.warn({ path, cause: String(error) }, 'what was known cannot be read');
      return [];
    }
  }

  replace(keepsakes: readonly Keepsake[]): void {
    const { path, boot, identity } = this.#options;
    const lines = [JSON.stringify({ version: 1, boot, identity }), ...keepsakes.map(formatKeepsake)];
    const text = `${lines.join('\n')}\n`;
    if (text === this.#text && this.#fd !== undefined) return;
    try {
      makeDirectory(dirname(path), 0o700);
      const fd = openSync(`${path}.new`, 'w', 0o600);
      try {
        writeSync(fd, text);
        renameSync(`${path}.new`, path);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
      this.#close();
      this.#fd = fd;
      this.#text = text;
    } catch (error) {
      // What is there from before may be older than the next change: it must go.
      this.#failed(error);
    }
  }

  forget(handle: string): void {
    this.#text = '';
    if (this.#fd === undefined) return;
    try {
      writeSync(this.#fd, `${JSON.stringify({ forget: toHex(handle) })}\n`);
    } catch (error) {
      this.#failed(error);
    }
  }

  forgetAll(): void {
    this.#text = '';
    if (this.#fd === undefined) return;
    try {
      ftruncateSync(this.#fd, 0);
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#close();
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #failed(error: unknown): void {
    const { path, log } = this.#options;
    this.#text = '';
    this.#close();
    try {
      unlinkSync(path);
    } catch (gone) {
      if (systemCode(gone) !== 'ENOENT')
        log.error({ path, cause: String(gone) }, 'what is known no more cannot be removed');
    }
    if (!this.#warned) log.warn({ path, cause: String(error) }, 'what is known of files cannot be kept over a restart');
    this.#warned = true;
  }
}

function formatKeepsake({ handle, attributes, grants, place }: Keepsake): string {
  const { fsid, fileid, ...plain } = attributes;
  return JSON.stringify({
    handle: toHex(handle),
    attributes: { ...plain, fsid: String(fsid), fileid: String(fileid) },
    grants,
    place: place && { ...place, directory: toHex(place.directory), name: toHex(place.name) },
  });
}

function parseLines(lines: readonly string[]): Keepsake[] {
  const kept = new Map<string, Keepsake>();
  for (const line of lines) {
    const value: unknown = JSON.parse(line);
    const forget = forgetSchema.safeParse(value);
    if (forget.success) {
      kept.delete(forget.data.forget);
      continue;
    }
    const keepsake = keepsakeSchema.parse(value);
    kept.set(keepsake.handle, keepsake);
  }
  return [...kept.values()];
}

function toHex(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex');
}
