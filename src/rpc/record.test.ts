import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { framed } from '../testing/mod.ts';
import { RecordAssembler } from './record.ts';

const seed = 20261;

function drain(assembler: RecordAssembler): Buffer[] {
  const records: Buffer[] = [];
  for (let record = assembler.next(); record !== undefined; record = assembler.next())
    records.push(Buffer.concat(record));
  return records;
}

test('every split of two records in two chunks gives the same two records', () => {
  const first = Buffer.from('first record, of several fragments');
  const second = Buffer.from('second');
  const stream = Buffer.concat([framed(first, [3, 0, 1, 7]), framed(second)]);
  for (let split = 0; split <= stream.length; split++) {
    const assembler = new RecordAssembler(1000, 10);
    assembler.push(stream.subarray(0, split));
    const records = drain(assembler);
    assembler.push(stream.subarray(split));
    records.push(...drain(assembler));
    assert.deepEqual(records, [first, second], `split at ${split}`);
    assert.equal(assembler.partial(), false);
  }
});

test('single bytes give the same records', () => {
  const message = Buffer.from(Array.from({ length: 9000 }, (_, i) => i & 0xff));
  const assembler = new RecordAssembler(10_000, 10);
  const records: Buffer[] = [];
  for (const byte of Buffer.concat([framed(message, [1, 0, 4500]), framed(message)])) {
    assembler.push(Buffer.from([byte]));
    records.push(...drain(assembler));
  }
  assert.deepEqual(records, [message, message]);
});

test('a prefix of a record is never a record', () => {
  const stream = framed(Buffer.from('whole'), [2]);
  for (let length = 0; length < stream.length; length++) {
    const assembler = new RecordAssembler(100, 10);
    assembler.push(stream.subarray(0, length));
    assert.deepEqual(drain(assembler), []);
    assert.equal(assembler.partial(), length > 0);
  }
});

test('marks inside a fragment are payload', () => {
  const inner = framed(framed(Buffer.from('innermost'), [1, 2]), [5]);
  const assembler = new RecordAssembler(1000, 10);
  assembler.push(framed(inner));
  assert.deepEqual(drain(assembler), [inner]);
});

test('random records, fragments and chunks come out as they went in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 3000 }), fc.array(fc.nat(900), { maxLength: 5 })), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 2500 }), { minLength: 1, maxLength: 20 }),
      (messages, chunkSizes) => {
        const stream = Buffer.concat(messages.map(([bytes, sizes]) => framed(Buffer.from(bytes), sizes)));
        const assembler = new RecordAssembler(3000, 6);
        const records: Buffer[] = [];
        for (let position = 0, i = 0; position < stream.length; i++) {
          const size = chunkSizes[i % chunkSizes.length]!;
          assembler.push(stream.subarray(position, position + size));
          position += size;
          if (i % 3 !== 0) records.push(...drain(assembler));
        }
        records.push(...drain(assembler));
        assert.deepEqual(
          records,
          messages.map(([bytes]) => Buffer.from(bytes)),
        );
        assert.equal(assembler.violation, undefined);
      },
    ),
    { seed, numRuns: 300 },
  );
});

test('a large payload is not copied', () => {
  const stream = framed(Buffer.alloc(100_000, 1));
  const assembler = new RecordAssembler(200_000, 10);
  assembler.push(stream.subarray(0, 60_000));
  assembler.push(stream.subarray(60_000));
  const record = assembler.next()!;
  assert.deepEqual(
    record.map((part) => part.buffer === stream.buffer),
    [true, true],
  );
});

test('limits are checked at the mark: record size over all fragments, and number of fragments', () => {
  const oversized = new RecordAssembler(10, 10);
  oversized.push(
    Buffer.concat([
      framed(Buffer.from('fits')),
      Buffer.from([0, 0, 0, 6]),
      Buffer.alloc(6),
      Buffer.from([0x80, 0, 0, 5]),
    ]),
  );
  assert.deepEqual(drain(oversized), [Buffer.from('fits')]);
  assert.match(oversized.violation!, /11 bytes, above 10/);
  oversized.push(framed(Buffer.from('later')));
  assert.deepEqual(drain(oversized), []);

  const largest = new RecordAssembler(10, 10);
  largest.push(Buffer.from([0xff, 0xff, 0xff, 0xff]));
  assert.equal(largest.next(), undefined);
  assert.match(largest.violation!, /2147483647 bytes/);

  const fragments = new RecordAssembler(10, 3);
  fragments.push(framed(Buffer.from('abc'), [0, 0]));
  assert.equal(drain(fragments).length, 1);
  fragments.push(framed(Buffer.from('abc'), [0, 0, 0]));
  assert.equal(drain(fragments).length, 0);
  assert.match(fragments.violation!, /more than 3 fragments/);
});
