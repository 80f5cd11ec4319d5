/** The wire forms of the channel: round trips, every prefix rejected, limits, damage. docs/channel.md is what they follow. */
import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Procedure } from '../rpc/mod.ts';
import { nfsArbitraries } from '../testing/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { Status } from '../vfs/mod.ts';
import { type Codec, XdrError, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { Bitmap } from './bitmap.ts';
import { commitThrough, pending, writeBack } from './chain.ts';
import { setattrIf, writeIf } from './conditional.ts';
import { have, writeReferences } from './have.ts';
import { hello } from './hello.ts';
import { identity } from './identity.ts';
import { leaseAcquire, leaseRelease, leaseRenew, leaseStatus } from './leases.ts';
import { type Packed, packedBytes, packedCodec } from './packed.ts';
import { channelProgram } from './protocol.ts';
import { publishWorkingSet } from './publish-working-set.ts';
import { readVector } from './read-vector.ts';
import { walk } from './walk.ts';
import { writePacked } from './write-packed.ts';

const seed = 45553;

function encode(codec: Codec<unknown>, value: unknown): Buffer {
  const writer = new XdrWriter();
  codec.encode(writer, value);
  return Buffer.concat(writer.take());
}

function decode(codec: Codec<unknown>, bytes: Buffer): unknown {
  const reader = new XdrReader([bytes]);
  const value = codec.decode(reader);
  reader.end();
  return value;
}

/** Only a decoder's own error may come out, whatever goes in. */
function survives(codec: Codec<unknown>, bytes: Buffer): void {
  try {
    decode(codec, bytes);
  } catch (error) {
    if (!(error instanceof XdrError)) throw error;
  }
}

function bytes(minLength: number, maxLength = minLength): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array).toString('latin1'));
}

const word = fc.nat({ max: 0xffff_ffff });
const ms = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const features = fc.array(bytes(0, 64), { maxLength: 64 });
const failure = fc.constantFrom(...Object.values(Status).filter((status) => status !== 0));
const refused = fc.record({ outcome: fc.constant('refused'), status: failure });
const only = (outcome: string): fc.Arbitrary<unknown> => fc.record({ outcome: fc.constant(outcome) });
const holder = fc.record({ path: bytes(1, 80), holder: bytes(0, 255), sinceMs: ms, seenMs: ms, breakableMs: ms });
const reference = fc.record({ tree: bytes(0, 64), token: bytes(8) });
const time = fc.record({ seconds: word, nanoseconds: word });
const expected = fc.record({ size: ms, mtime: time, ctime: time });
const conditional = (args: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.tuple(args, expected).map(([plain, condition]) => ({ ...(plain as object), expected: condition }));

const hop = fc.record({
  host: bytes(0, 255),
  policy: fc.constantFrom('read-only', 'write-through', 'write-back', 'redirect'),
  isAtNext: fc.boolean(),
  pendingBytes: ms,
  pendingFiles: word,
  conflicts: word,
  oldestAgeMs: fc.option(ms, { nil: undefined }),
  state: fc.constantFrom('passing', 'idle', 'waiting', 'writing', 'origin-away', 'refused', 'lease-lost', 'damaged'),
  secondsLeft: fc.option(ms, { nil: undefined }),
});
const stable = fc.constantFrom(0, 1, 2);
const blob = (minLength: number, maxLength = minLength): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const attributes = nfsArbitraries.lookup.reply.map((reply) => (reply as vfs.LookupReply).directoryAttributes);
const someAttributes = nfsArbitraries.getattr.reply
  .filter((reply) => (reply as vfs.GetattrReply).status === 0)
  .map((reply) => (reply as vfs.GetattrReply & { status: 0 }).attributes);
/** Runs of data and zeros, and as much data as they say, or less as a frame that is none. */
const packed: fc.Arbitrary<Packed> = fc
  .tuple(fc.nat({ max: 40 }), fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 }), fc.boolean())
  .map(([first, more, isCompressed]) => {
    const runs = [first, ...more];
    const dataBytes = runs.reduce((sum, run, i) => (i % 2 === 0 ? sum + run : sum), 0);
    const asFrame = isCompressed && dataBytes > 1;
    const length = asFrame ? dataBytes - 1 : dataBytes;
    return { runs, isCompressed: asFrame, stored: length === 0 ? [] : [Buffer.alloc(length, 7)] };
  });
const vectorReply = fc.tuple(packed, attributes, fc.boolean()).map(([data, known, eof]) => ({
  status: 0,
  attributes: known,
  results: [
    { status: 0, count: packedBytes(data), eof },
    { status: Status.IO, count: 0, eof: false },
  ],
  packed: data,
}));

interface Case {
  readonly name: string;
  readonly args: readonly [Codec<unknown>, fc.Arbitrary<unknown>];
  readonly reply: readonly [Codec<unknown>, fc.Arbitrary<unknown>];
}

function of<Args, Reply>(
  procedure: Procedure<Args, Reply>,
  args: fc.Arbitrary<unknown>,
  reply: fc.Arbitrary<unknown>,
): Case {
  const { name } = procedure;
  return {
    name,
    args: [procedure.arguments as Codec<unknown>, args],
    reply: [procedure.reply as Codec<unknown>, reply],
  };
}

const cases: readonly Case[] = [
  of(
    hello,
    fc.record({ highestVersion: word, features, host: bytes(0, 255), instance: bytes(16) }),
    fc.record({ version: word, features, server: bytes(16), start: bytes(16) }),
  ),
  of(
    leaseAcquire,
    fc.record({ tree: bytes(0, 64), holder: bytes(0, 255), instance: bytes(16), takeOver: fc.boolean() }),
    fc.oneof(
      fc.record({ outcome: fc.constant('granted'), token: bytes(8), renewMs: word, path: bytes(1, 200) }),
      fc.record({ outcome: fc.constant('held'), by: holder }),
      refused,
    ),
  ),
  of(
    leaseRenew,
    reference,
    fc.oneof(
      fc.record({ outcome: fc.constant('held'), renewMs: word }),
      fc.record({ outcome: fc.constant('lost'), holder: bytes(0, 255), sinceMs: ms }),
      only('ended'),
      refused,
    ),
  ),
  of(leaseRelease, reference, fc.oneof(only('released'), only('not-held'), refused)),
  of(
    leaseStatus,
    fc.record({ tree: bytes(0, 64) }),
    fc.oneof(
      fc.record({ outcome: fc.constant('listed'), leases: fc.array(holder, { maxLength: 5 }), more: fc.boolean() }),
      refused,
    ),
  ),
  of(
    readVector,
    fc.record({ object: bytes(0, 64), ranges: fc.array(fc.record({ offset: ms, count: word }), { maxLength: 5 }) }),
    fc.oneof(vectorReply, fc.record({ status: failure })),
  ),
  of(
    walk,
    fc.record({ directory: bytes(0, 64), names: fc.array(bytes(0, 20), { maxLength: 5 }) }),
    fc.record({
      status: fc.oneof(fc.constant(0), failure),
      steps: fc.array(fc.record({ object: bytes(0, 64), attributes }), { maxLength: 4 }),
      directoryAttributes: attributes,
    }),
  ),
  of(
    identity,
    fc.record({ object: bytes(0, 64) }),
    fc.oneof(
      fc.record({ status: fc.constant(0), origin: bytes(16), hops: word, attributes: someAttributes }),
      fc.record({ status: failure }),
    ),
  ),
  of(
    writePacked,
    fc.record({ object: bytes(0, 64), offset: ms, stable, expected: fc.option(expected, { nil: undefined }), packed }),
    nfsArbitraries.write.reply,
  ),
  of(
    have,
    fc.record({ near: bytes(0, 64), digests: fc.array(blob(16), { maxLength: 5 }) }),
    fc.record({ status: fc.oneof(fc.constant(0), failure), found: blob(0, 9).map((array) => new Bitmap(array)) }),
  ),
  of(
    publishWorkingSet,
    fc.record({
      place: fc.record({ directory: bytes(0, 64), name: bytes(0, 20) }),
      set: fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array)),
    }),
    fc.record({ status: fc.oneof(fc.constant(0), failure) }),
  ),
  of(
    writeReferences,
    fc.record({
      object: bytes(0, 64),
      near: bytes(0, 64),
      stable,
      expected: fc.option(expected, { nil: undefined }),
      references: fc.array(fc.record({ offset: ms, digest: blob(16) }), { maxLength: 5 }),
    }),
    fc
      .tuple(nfsArbitraries.write.reply, blob(0, 9))
      .map(([reply, array]) => ({ reply, status: (reply as { status: number }).status, written: new Bitmap(array) })),
  ),
  of(commitThrough, nfsArbitraries.commit.args, nfsArbitraries.commit.reply),
  of(
    pending,
    fc.record({ patienceMs: word }),
    fc.oneof(
      fc.record({
        status: fc.constant(0),
        hops: fc.array(hop, { maxLength: 4 }),
        end: fc.constantFrom('origin', 'silent', 'cut'),
      }),
      fc.record({ status: failure }),
    ),
  ),
  of(
    writeBack,
    fc.constant(undefined),
    fc.oneof(
      fc.record({
        status: fc.constant(0),
        outcome: fc.constantFrom('done', 'conflict', 'refused', 'lease-lost', 'closed'),
      }),
      fc.record({ status: failure }),
    ),
  ),
  of(writeIf, conditional(nfsArbitraries.write.args), nfsArbitraries.write.reply),
  of(setattrIf, conditional(nfsArbitraries.setattr.args), nfsArbitraries.setattr.reply),
];

for (const { name, args, reply } of cases) {
  for (const [title, codec, arbitrary] of [
    ['arguments', ...args],
    ['reply', ...reply],
  ] as const) {
    describe(`${name} ${title} (seed ${seed})`, () => {
      it('come back byte for byte, and are rejected at every shorter length and with bytes behind', () => {
        fc.assert(
          fc.property(arbitrary, (value) => {
            const encoded = encode(codec, value);
            assert.ok(encode(codec, decode(codec, encoded)).equals(encoded));
            for (let length = 0; length < encoded.length; length += encoded.length > 600 ? 7 : 1) {
              assert.throws(() => decode(codec, encoded.subarray(0, length)), XdrError, `${length} bytes`);
            }
            assert.throws(() => decode(codec, Buffer.concat([encoded, Buffer.alloc(4)])), XdrError);
          }),
          { seed, numRuns: 25 },
        );
      });

      it('never crash the decoder when bytes are random or damaged', () => {
        fc.assert(
          fc.property(fc.uint8Array({ maxLength: 300 }), (random) => survives(codec, Buffer.from(random))),
          { seed, numRuns: 200 },
        );
        fc.assert(
          fc.property(arbitrary, fc.nat(), fc.nat({ max: 255 }), (value, at, byte) => {
            const damaged = encode(codec, value);
            if (damaged.length > 0) damaged[at % damaged.length] = byte;
            survives(codec, damaged);
          }),
          { seed, numRuns: 200 },
        );
      });
    });
  }
}

describe('the table and limits of the channel', () => {
  it('is as documented: numbers, and values as they stood when it was written', () => {
    assert.deepEqual(channelProgram, { program: 0x20564455, version: 1 });
    const procedures = [
      ...[hello, leaseAcquire, leaseRenew, leaseRelease, leaseStatus, writeIf, setattrIf],
      ...[readVector, walk, identity, writePacked, have, writeReferences, publishWorkingSet],
      ...[commitThrough, pending, writeBack],
    ];
    assert.deepEqual(
      procedures.map(({ number, name }) => `${number} ${name}`),
      [
        '1 HELLO',
        '2 LEASE_ACQUIRE',
        '3 LEASE_RENEW',
        '4 LEASE_RELEASE',
        '5 LEASE_STATUS',
        '6 WRITE_IF',
        '7 SETATTR_IF',
        '8 READ_VECTOR',
        '9 WALK',
        '10 IDENTITY',
        '11 WRITE_Z',
        '12 HAVE',
        '13 WRITE_REF',
        '14 PUBLISH_WORKING_SET',
        '15 COMMIT_THROUGH',
        '16 PENDING',
        '17 WRITE_BACK',
      ],
    );
    const args = { tree: 'AB', holder: 'host', instance: '0123456789abcdef', takeOver: true };
    const text = '000000024142000000000004686f73743031323334353637383961626364656600000001';
    assert.equal(encode(leaseAcquire.arguments as Codec<unknown>, args).toString('hex'), text);
    const expectedSame = { size: 5, mtime: { seconds: 1, nanoseconds: 2 }, ctime: { seconds: 3, nanoseconds: 4 } };
    const write = { object: 'h', offset: 6, count: 1, stable: 2, data: [Buffer.from('x')], expected: expectedSame };
    assert.equal(
      encode(writeIf.arguments as Codec<unknown>, write).toString('hex'),
      `${'0000000000000005'}${'0000000100000002'}${'0000000300000004'}${'0000000168000000'}${'0000000000000006'}${'00000001'}${'00000002'}${'0000000178000000'}`,
    );
  });

  it('refuses more features, longer names and other lengths than it says, before it keeps them', () => {
    const { arguments: args } = hello;
    const many = Array.from({ length: 65 }, () => 'f');
    const good = { highestVersion: 1, features: [], host: '', instance: 'i'.repeat(16) };
    assert.throws(() => encode(args as Codec<unknown>, { ...good, features: many }), XdrError);
    assert.throws(() => encode(args as Codec<unknown>, { ...good, instance: 'short' }), XdrError);
    const writer = new XdrWriter();
    writer.uint32(1);
    writer.uint32(0xffff_ffff);
    assert.throws(() => decode(args as Codec<unknown>, Buffer.concat(writer.take())), /4294967295 features/);
    writer.uint32(0);
    writer.uint32(0x7fff_ffff);
    assert.throws(() => decode(leaseStatus.reply as Codec<unknown>, Buffer.concat(writer.take())), /2147483647 leases/);
    assert.throws(() => encode(writeIf.arguments as Codec<unknown>, { data: [] }), /without a condition/);
  });

  it('keeps the bytes of the second part as they stood', () => {
    const hex = (codec: Codec<never>, value: unknown): string => encode(codec as Codec<unknown>, value).toString('hex');
    const data = { runs: [1, 4096], isCompressed: false, stored: [Buffer.from('x')] };
    const bytesOfData = '00000002000000010000100000000000' + '0000000178000000';
    assert.equal(hex(packedCodec as Codec<never>, data), bytesOfData);
    assert.equal(
      hex(readVector.arguments as Codec<never>, { object: 'h', ranges: [{ offset: 4096, count: 9 }] }),
      '0000000168000000' + '00000001' + '0000000000001000' + '00000009',
    );
    const results = [
      { status: 0, count: 4097, eof: true },
      { status: 5, count: 0, eof: false },
    ];
    assert.equal(
      hex(readVector.reply as Codec<never>, { status: 0, results, packed: data }),
      `${'00000000' + '00000000' + '00000002' + '000000000000100100000001' + '000000050000000000000000'}${bytesOfData}`,
    );
    assert.equal(
      hex(walk.arguments as Codec<never>, { directory: 'd', names: ['a', 'bc'] }),
      '0000000164000000' + '00000002' + '0000000161000000' + '0000000262630000',
    );
    const write = { object: 'h', offset: 6, stable: 2, packed: data };
    const head = '00000000' + '0000000168000000' + '0000000000000006' + '00000002';
    assert.equal(hex(writePacked.arguments as Codec<never>, write), head + bytesOfData);
    const digest = Buffer.from('0123456789abcdef');
    const digestHex = digest.toString('hex');
    assert.equal(
      hex(have.arguments as Codec<never>, { near: 'd', digests: [digest] }),
      `${'0000000164000000' + '00000001'}${digestHex}`,
    );
    const references = { object: 'h', near: 'd', stable: 0, references: [{ offset: 4096, digest }] };
    assert.equal(
      hex(writeReferences.arguments as Codec<never>, references),
      `${'00000000' + '0000000168000000' + '0000000164000000' + '00000000' + '00000001' + '0000000000001000'}${digestHex}`,
    );
    const found = Bitmap.of(9);
    found.set(8);
    assert.equal(hex(have.reply as Codec<never>, { status: 0, found }), '00000000' + '00000002' + '00010000');
  });

  it('takes no packed data whose runs and bytes do not agree, or that stands for more than a transfer', () => {
    const refuses = (runs: readonly number[], isCompressed: boolean, stored: number, pattern: RegExp): void => {
      const wrong = { runs, isCompressed, stored: stored === 0 ? [] : [Buffer.alloc(stored)] };
      const encoded = encode(packedCodec as Codec<unknown>, wrong);
      assert.throws(() => decode(packedCodec as Codec<unknown>, encoded), { name: 'XdrError', message: pattern });
    };
    refuses([5], false, 4, /4 bytes stored for 5/);
    refuses([5], false, 6, /6 bytes stored for 5/);
    refuses([5], true, 5, /5 bytes stored for 5/);
    refuses([5], true, 0, /0 bytes stored for 5/);
    refuses([0, 9], true, 1, /1 bytes stored for 0/);
    refuses([1, 0, 1], false, 2, /a run of nothing/);
    refuses([0, 1024 * 1024 + 1], false, 0, /runs of 1048577 bytes/);
    refuses([1, 0xffff_ffff], false, 1, /runs of/);
    refuses(
      Array.from({ length: 1025 }, () => 1),
      false,
      513,
      /1025 runs/,
    );
  });

  it('takes a status that RFC 1813 does not know, and success where a failure belongs, for SERVERFAULT', () => {
    for (const status of [0, 12345]) {
      const writer = new XdrWriter();
      writer.uint32(2);
      writer.uint32(status);
      const reply = decode(leaseAcquire.reply as Codec<unknown>, Buffer.concat(writer.take()));
      assert.deepEqual(reply, { outcome: 'refused', status: Status.SERVERFAULT });
    }
  });
});
