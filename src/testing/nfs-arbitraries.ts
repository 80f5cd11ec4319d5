/** Random arguments and replies of every operation of a `Filesystem`, for property tests. */
import fc from 'fast-check';
import * as vfs from '../vfs/mod.ts';

const word = fc.nat({ max: 0xffff_ffff });
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const wide = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const mode = fc.nat({ max: 0o7777 });

function bytes(minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array).toString('latin1'));
}

const handle = bytes(0, 64);
const name = bytes(0, 40);
const entryName = bytes(1, 40);
const verifier = bytes(8, 8);
const failure = fc.constantFrom(...(Object.values(vfs.Status).filter((status) => status !== 0) as vfs.Failure[]));
const time = fc.record({ seconds: word, nanoseconds: fc.nat({ max: 999_999_999 }) });
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const attributes: fc.Arbitrary<vfs.Attributes> = fc.record({
  type: fc.constantFrom(...Object.values(vfs.FileType)),
  mode,
  nlink: word,
  uid: word,
  gid: word,
  size,
  used: size,
  deviceMajor: word,
  deviceMinor: word,
  fsid: wide,
  fileid: wide,
  atime: time,
  mtime: time,
  ctime: time,
});
const wcc: fc.Arbitrary<vfs.WccData> = fc.record({
  before: optional(fc.record({ size, mtime: time, ctime: time })),
  after: optional(attributes),
});
const setTime = fc.oneof(fc.constant('server' as const), time);
const set: fc.Arbitrary<vfs.SetAttributes> = fc.record({
  mode: optional(mode),
  uid: optional(word),
  gid: optional(word),
  size: optional(size),
  atime: optional(setTime),
  mtime: optional(setTime),
});
const place = fc.record({ directory: handle, name });
const object = fc.record({ object: handle });
const data = fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 4 });
const lengthOf = (slices: readonly Uint8Array[]): number => slices.reduce((sum, slice) => sum + slice.length, 0);
const stable = fc.constantFrom(...Object.values(vfs.Stability));

const plainRefusal = fc.record({ status: failure });
const attributesRefusal = fc.record({ status: failure, attributes: optional(attributes) });
const directoryRefusal = fc.record({ status: failure, directoryAttributes: optional(attributes) });
const wccRefusal = fc.record({ status: failure, wcc });
const anyStatus = fc.oneof(fc.constant(0 as const), failure);

const special = fc.oneof(
  fc.record({
    where: place,
    type: fc.constantFrom(vfs.FileType.BLOCK, vfs.FileType.CHARACTER),
    set,
    deviceMajor: word,
    deviceMinor: word,
  }),
  fc.record({
    where: place,
    type: fc.constantFrom(vfs.FileType.FIFO, vfs.FileType.SOCKET),
    set,
    deviceMajor: fc.constant(0),
    deviceMinor: fc.constant(0),
  }),
  fc.record({
    where: place,
    type: fc.constantFrom(vfs.FileType.REGULAR, vfs.FileType.DIRECTORY, vfs.FileType.SYMLINK),
    set: fc.constant({}),
    deviceMajor: fc.constant(0),
    deviceMinor: fc.constant(0),
  }),
);
const created = fc.oneof(
  fc.record({
    status: fc.constant(0 as const),
    object: optional(handle),
    attributes: optional(attributes),
    directoryWcc: wcc,
  }),
  fc.record({ status: failure, directoryWcc: wcc }),
);
const removed = fc.record({ status: anyStatus, directoryWcc: wcc });
const entry = fc.record({ fileid: wide, name: entryName, cookie: wide });
const entryPlus = fc.record({
  fileid: wide,
  name: entryName,
  cookie: wide,
  object: optional(handle),
  attributes: optional(attributes),
});

function page<Entry>(each: fc.Arbitrary<Entry>) {
  const success = fc.record({
    status: fc.constant(0 as const),
    directoryAttributes: optional(attributes),
    cookieVerifier: verifier,
    entries: fc.array(each, { maxLength: 5 }),
    eof: fc.boolean(),
  });
  return fc.oneof(success, directoryRefusal);
}

const listing = fc.record({ directory: handle, cookie: wide, cookieVerifier: verifier, directoryBytes: word });
const sizes = { totalBytes: size, freeBytes: size, availableBytes: size };
const files = { totalFiles: size, freeFiles: size, availableFiles: size };

export interface Arbitraries {
  readonly args: fc.Arbitrary<unknown>;
  readonly reply: fc.Arbitrary<unknown>;
}

export const nfsArbitraries: Readonly<Record<vfs.OperationName, Arbitraries>> = {
  getattr: {
    args: object,
    reply: fc.oneof(fc.record({ status: fc.constant(0), attributes }), plainRefusal),
  },
  setattr: {
    args: fc.record({ object: handle, set, guard: optional(time) }),
    reply: fc.record({ status: anyStatus, wcc }),
  },
  lookup: {
    args: place,
    reply: fc.oneof(
      fc.record({
        status: fc.constant(0),
        object: handle,
        attributes: optional(attributes),
        directoryAttributes: optional(attributes),
      }),
      directoryRefusal,
    ),
  },
  access: {
    args: fc.record({ object: handle, access: word }),
    reply: fc.oneof(
      fc.record({ status: fc.constant(0), attributes: optional(attributes), access: word }),
      attributesRefusal,
    ),
  },
  readlink: {
    args: object,
    reply: fc.oneof(
      fc.record({ status: fc.constant(0), attributes: optional(attributes), target: name }),
      attributesRefusal,
    ),
  },
  read: {
    args: fc.record({ object: handle, offset: size, count: word }),
    reply: fc.oneof(
      fc
        .record({ status: fc.constant(0), attributes: optional(attributes), data, eof: fc.boolean() })
        .map((reply) => ({ ...reply, count: lengthOf(reply.data) })),
      attributesRefusal,
    ),
  },
  write: {
    args: fc
      .record({ object: handle, offset: size, stable, data })
      .map((args) => ({ ...args, count: lengthOf(args.data) })),
    reply: fc.oneof(fc.record({ status: fc.constant(0), wcc, count: word, committed: stable, verifier }), wccRefusal),
  },
  create: {
    args: fc.record({
      where: place,
      how: fc.oneof(
        fc.record({ mode: fc.constantFrom('unchecked', 'guarded'), set }),
        fc.record({ mode: fc.constant('exclusive'), verifier }),
      ),
    }),
    reply: created,
  },
  mkdir: { args: fc.record({ where: place, set }), reply: created },
  symlink: { args: fc.record({ where: place, set, target: name }), reply: created },
  mknod: { args: special, reply: created },
  remove: { args: place, reply: removed },
  rmdir: { args: place, reply: removed },
  rename: {
    args: fc.record({ from: place, to: place }),
    reply: fc.record({ status: anyStatus, fromWcc: wcc, toWcc: wcc }),
  },
  link: {
    args: fc.record({ object: handle, where: place }),
    reply: fc.record({ status: anyStatus, attributes: optional(attributes), directoryWcc: wcc }),
  },
  readdir: {
    args: listing.map((args) => ({ ...args, replyBytes: args.directoryBytes })),
    reply: page(entry),
  },
  readdirplus: {
    args: fc.tuple(listing, word).map(([args, replyBytes]) => ({ ...args, replyBytes })),
    reply: page(entryPlus),
  },
  fsstat: {
    args: object,
    reply: fc.oneof(
      fc.record({
        status: fc.constant(0),
        attributes: optional(attributes),
        ...sizes,
        ...files,
        invariantSeconds: word,
      }),
      attributesRefusal,
    ),
  },
  fsinfo: {
    args: object,
    reply: fc.oneof(
      fc.record({
        status: fc.constant(0),
        attributes: optional(attributes),
        readMaximum: word,
        readPreferred: word,
        readMultiple: word,
        writeMaximum: word,
        writePreferred: word,
        writeMultiple: word,
        readdirPreferred: word,
        maximumFileBytes: size,
        timeDelta: time,
        properties: word,
      }),
      attributesRefusal,
    ),
  },
  pathconf: {
    args: object,
    reply: fc.oneof(
      fc.record({
        status: fc.constant(0),
        attributes: optional(attributes),
        linkMaximum: word,
        nameMaximum: word,
        noTruncation: fc.boolean(),
        chownRestricted: fc.boolean(),
        caseInsensitive: fc.boolean(),
        casePreserving: fc.boolean(),
      }),
      attributesRefusal,
    ),
  },
  commit: {
    args: fc.record({ object: handle, offset: size, count: word }),
    reply: fc.oneof(fc.record({ status: fc.constant(0), wcc, verifier }), wccRefusal),
  },
};
