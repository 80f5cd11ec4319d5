/** The wire forms of the channel: round trips, every prefix rejected, limits, damage. docs/channel.md is what they follow. */
import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Procedure } from '../rpc/mod.ts';
import { nfsArbitraries } from '../testing/mod.ts';
import { Status } from '../vfs/mod.ts';
import { type Codec, XdrError, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { setattrIf, writeIf } from './conditional.ts';
import { hello } from './hello.ts';
import { leaseAcquire, leaseRelease, leaseRenew, leaseStatus } from './leases.ts';
import { channelProgram } from './protocol.ts';

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
    const procedures = [hello, leaseAcquire, leaseRenew, leaseRelease, leaseStatus, writeIf, setattrIf];
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
