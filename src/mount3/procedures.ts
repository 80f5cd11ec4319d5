/** Wire forms of MOUNT version 3 (RFC 1813 appendix I): six procedures, their linked lists decoded in loops. */
import { limits } from '../base/mod.ts';
import type { Procedure } from '../rpc/mod.ts';
import type { FileHandle } from '../vfs/mod.ts';
import { type Codec, voidCodec, XdrError, type XdrReader } from '../xdr/mod.ts';

export const mountProgram = { program: 100005, version: 3 } as const;

/** mountstat3 (RFC 1813 5.1.5). */
export const MountStatus = {
  OK: 0,
  PERM: 1,
  NOENT: 2,
  IO: 5,
  ACCES: 13,
  NOTDIR: 20,
  INVAL: 22,
  NAMETOOLONG: 63,
  NOTSUPP: 10004,
  SERVERFAULT: 10006,
} as const;
export type MountStatusCode = (typeof MountStatus)[keyof typeof MountStatus];
export type MountFailure = Exclude<MountStatusCode, 0>;

const statusNames = new Map<number, string>(
  Object.entries(MountStatus).map(([name, value]) => [value, `MNT3ERR_${name}`]),
);

export function mountStatusName(status: number): string {
  return status === 0 ? 'MNT3_OK' : (statusNames.get(status) ?? `MNT3 status ${status}`);
}

/** A path and the client that mounted it. */
export interface MountEntry {
  readonly host: string;
  readonly path: string;
}
export interface ExportEntry {
  readonly path: string;
  /** Who may mount it; empty means anybody. */
  readonly groups: readonly string[];
}
export type MountReply =
  | { readonly status: 0; readonly object: FileHandle; readonly flavors: readonly number[] }
  | { readonly status: MountFailure };

/** A path longer than `limits.pathBytes` is refused with NAMETOOLONG, which needs it decoded. */
const wirePathBytes = 2 * limits.pathBytes;
/** MNTNAMLEN (RFC 1813 5.1.3). */
const hostNameBytes = 255;
const authFlavors = 32;
/** Entries of a list that a client takes from a foreign server: bounds memory, not sense. */
export const listEntries = 4096;

const path: Codec<string> = {
  encode: (writer, value) => writer.binaryString(value),
  decode: (reader) => reader.binaryString(wirePathBytes),
};

function readList<T>(reader: XdrReader, item: (reader: XdrReader) => T): T[] {
  const list: T[] = [];
  while (reader.bool()) {
    if (list.length === listEntries) throw new XdrError(`a list of more than ${listEntries} entries`);
    list.push(item(reader));
  }
  return list;
}

/** A status that is not in RFC 1813 is SERVERFAULT. */
function readFailure(status: number): MountFailure {
  return status !== 0 && statusNames.has(status) ? (status as MountFailure) : MountStatus.SERVERFAULT;
}

const mountReply: Codec<MountReply> = {
  encode(writer, reply) {
    writer.uint32(reply.status);
    if (reply.status !== 0) return;
    writer.binaryString(reply.object);
    writer.uint32(reply.flavors.length);
    for (const flavor of reply.flavors) writer.uint32(flavor);
  },
  decode(reader) {
    const status = reader.uint32();
    if (status !== 0) return { status: readFailure(status) };
    const object = reader.binaryString(limits.fileHandleBytes);
    if (object.length === 0) throw new XdrError('a handle without bytes');
    const count = reader.uint32();
    if (count > authFlavors) throw new XdrError(`${count} authentication flavors`);
    const flavors: number[] = [];
    for (let i = 0; i < count; i++) flavors.push(reader.uint32());
    return { status: 0, object, flavors };
  },
};

const mountList: Codec<readonly MountEntry[]> = {
  encode(writer, list) {
    for (const entry of list) {
      writer.bool(true);
      writer.binaryString(entry.host);
      writer.binaryString(entry.path);
    }
    writer.bool(false);
  },
  decode: (reader) =>
    readList(reader, () => ({ host: reader.binaryString(hostNameBytes), path: reader.binaryString(wirePathBytes) })),
};

const exportList: Codec<readonly ExportEntry[]> = {
  encode(writer, list) {
    for (const entry of list) {
      writer.bool(true);
      writer.binaryString(entry.path);
      for (const group of entry.groups) {
        writer.bool(true);
        writer.binaryString(group);
      }
      writer.bool(false);
    }
    writer.bool(false);
  },
  decode: (reader) =>
    readList(reader, () => ({
      path: reader.binaryString(wirePathBytes),
      groups: readList(reader, () => reader.binaryString(hostNameBytes)),
    })),
};

/** NULL (5.2.0) to EXPORT (5.2.5). All may be executed twice: MNT and UMNT only change the list that DUMP shows. */
export const procedures = {
  null: { number: 0, name: 'NULL', idempotent: true, arguments: voidCodec, reply: voidCodec } as Procedure<void, void>,
  mnt: { number: 1, name: 'MNT', idempotent: true, arguments: path, reply: mountReply } as Procedure<
    string,
    MountReply
  >,
  dump: { number: 2, name: 'DUMP', idempotent: true, arguments: voidCodec, reply: mountList } as Procedure<
    void,
    readonly MountEntry[]
  >,
  umnt: { number: 3, name: 'UMNT', idempotent: true, arguments: path, reply: voidCodec } as Procedure<string, void>,
  umntall: { number: 4, name: 'UMNTALL', idempotent: true, arguments: voidCodec, reply: voidCodec } as Procedure<
    void,
    void
  >,
  export: { number: 5, name: 'EXPORT', idempotent: true, arguments: voidCodec, reply: exportList } as Procedure<
    void,
    readonly ExportEntry[]
  >,
} as const;
