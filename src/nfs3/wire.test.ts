import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nfsArbitraries } from '../testing/mod.ts';
import type { OperationName } from '../vfs/mod.ts';
import { type Codec, XdrError, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { nfsProgram } from './procedure.ts';
import { procedures } from './table.ts';

const seed = 18131;
const runs = { seed, numRuns: 60 };

function encode(codec: Codec<unknown>, value: unknown): Buffer {
  const writer = new XdrWriter();
  codec.encode(writer, value);
  return Buffer.concat(writer.take());
}

function decode(codec: Codec<unknown>, chunks: readonly Buffer[]): unknown {
  const reader = new XdrReader(chunks);
  const value = codec.decode(reader);
  reader.end();
  return value;
}

/** Without fields that are undefined, and with payload in one piece. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.every((item) => item instanceof Uint8Array) ? Buffer.concat(value).toString('hex') : value.map(plain);
  }
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.map(([key, field]) => [key, plain(field)]));
}

/** Only a decoder's own error may come out, whatever goes in. */
function survives(codec: Codec<unknown>, bytes: Buffer): void {
  try {
    decode(codec, [bytes]);
  } catch (error) {
    if (!(error instanceof XdrError)) throw error;
  }
}

describe('the table of procedures', () => {
  it('has the 22 of RFC 1813 in their order', () => {
    const table = Object.values(procedures);
    assert.deepEqual(
      table.map((procedure) => procedure.number),
      Array.from({ length: 22 }, (_, number) => number),
    );
    for (const [name, procedure] of Object.entries(procedures)) assert.equal(procedure.name, name.toUpperCase());
    assert.deepEqual(nfsProgram, { program: 100003, version: 3 });
  });

  it('keeps the replies of those that may not be executed twice', () => {
    const once = Object.values(procedures).filter((procedure) => !procedure.idempotent);
    assert.deepEqual(
      once.map((procedure) => procedure.name),
      ['SETATTR', 'CREATE', 'MKDIR', 'SYMLINK', 'MKNOD', 'REMOVE', 'RMDIR', 'RENAME', 'LINK'],
    );
  });
});

for (const [name, arbitraries] of Object.entries(nfsArbitraries)) {
  const procedure = procedures[name as OperationName];
  for (const [title, codec, arbitrary] of [
    ['arguments', procedure.arguments as Codec<unknown>, arbitraries.args],
    ['reply', procedure.reply as Codec<unknown>, arbitraries.reply],
  ] as const) {
    describe(`${procedure.name} ${title} (seed ${seed})`, () => {
      it('come back as they went, also byte for byte', () => {
        fc.assert(
          fc.property(arbitrary, (value) => {
            const bytes = encode(codec, value);
            assert.equal(bytes.length % 4, 0);
            const decoded = decode(codec, [bytes]);
            assert.deepEqual(plain(decoded), plain(value));
            assert.ok(encode(codec, decoded).equals(bytes));
          }),
          runs,
        );
      });

      it('are rejected at every shorter length, and with bytes behind', () => {
        fc.assert(
          fc.property(arbitrary, (value) => {
            const bytes = encode(codec, value);
            for (let length = 0; length < bytes.length; length++) {
              assert.throws(() => decode(codec, [bytes.subarray(0, length)]), XdrError, `${length} bytes`);
            }
            assert.throws(() => decode(codec, [bytes, Buffer.alloc(4)]), XdrError);
          }),
          { seed, numRuns: 8 },
        );
      });

      it('are the same however the record is cut into chunks', () => {
        fc.assert(
          fc.property(arbitrary, (value) => {
            const bytes = encode(codec, value);
            const expected = plain(decode(codec, [bytes]));
            for (let cut = 0; cut <= bytes.length; cut++) {
              const chunks = [bytes.subarray(0, cut), bytes.subarray(cut)];
              assert.deepEqual(plain(decode(codec, chunks)), expected, `cut at ${cut}`);
            }
            const single = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
            assert.deepEqual(plain(decode(codec, single)), expected, 'byte by byte');
          }),
          { seed, numRuns: 5 },
        );
      });

      it('never crash the decoder when bytes are random or damaged', () => {
        fc.assert(
          fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => survives(codec, Buffer.from(bytes))),
          { seed, numRuns: 300 },
        );
        fc.assert(
          fc.property(arbitrary, fc.nat(), fc.nat({ max: 255 }), (value, at, byte) => {
            const bytes = encode(codec, value);
            if (bytes.length > 0) bytes[at % bytes.length] = byte;
            survives(codec, bytes);
          }),
          { seed, numRuns: 200 },
        );
      });
    });
  }
}
