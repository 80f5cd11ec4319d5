import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { XdrError, XdrReader } from './reader.ts';
import { XdrWriter } from './writer.ts';

const seed = 20263;

type Field =
  | { kind: 'uint32'; value: number }
  | { kind: 'int32'; value: number }
  | { kind: 'bool'; value: boolean }
  | { kind: 'size64'; value: number }
  | { kind: 'uint64'; value: bigint }
  | { kind: 'binaryString'; value: string }
  | { kind: 'fixedBinaryString'; value: string }
  | { kind: 'opaque'; value: Buffer }
  | { kind: 'slices'; value: Buffer };

const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 8190, maxLength: 8200 }));
const binary = fc.uint8Array({ maxLength: 70 }).map((value) => Buffer.from(value).toString('latin1'));
const field: fc.Arbitrary<Field> = fc.oneof(
  fc.nat(0xffffffff).map((value) => ({ kind: 'uint32' as const, value })),
  fc.integer().map((value) => ({ kind: 'int32' as const, value })),
  fc.boolean().map((value) => ({ kind: 'bool' as const, value })),
  fc.maxSafeNat().map((value) => ({ kind: 'size64' as const, value })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => ({ kind: 'uint64' as const, value })),
  binary.map((value) => ({ kind: 'binaryString' as const, value })),
  binary.map((value) => ({ kind: 'fixedBinaryString' as const, value })),
  bytes.map((value) => ({ kind: 'opaque' as const, value: Buffer.from(value) })),
  bytes.map((value) => ({ kind: 'slices' as const, value: Buffer.from(value) })),
);

function write(writer: XdrWriter, item: Field): void {
  if (item.kind === 'uint32') writer.uint32(item.value);
  else if (item.kind === 'int32') writer.int32(item.value);
  else if (item.kind === 'bool') writer.bool(item.value);
  else if (item.kind === 'size64') writer.size64(item.value);
  else if (item.kind === 'uint64') writer.uint64(item.value);
  else if (item.kind === 'binaryString') writer.binaryString(item.value);
  else if (item.kind === 'fixedBinaryString') writer.fixedBinaryString(item.value);
  else if (item.kind === 'opaque') writer.opaque(item.value);
  else writer.slices([item.value.subarray(0, 9), item.value.subarray(9)]);
}

function read(reader: XdrReader, item: Field): unknown {
  if (item.kind === 'fixedBinaryString') return reader.fixedBinaryString(item.value.length);
  if (item.kind === 'binaryString') return reader.binaryString(item.value.length);
  if (item.kind === 'opaque') return reader.opaque(item.value.length);
  if (item.kind === 'slices') return Buffer.concat(reader.slices(item.value.length));
  return reader[item.kind]();
}

function split(message: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (message.length + 1)).sort((a, b) => a - b), message.length];
  return at.slice(1).map((end, i) => message.subarray(at[i], end));
}

test('what is written comes out, however the record is cut', () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 8 }), (fields, cuts) => {
      const writer = new XdrWriter(16);
      for (const item of fields) write(writer, item);
      const length = writer.length();
      const message = Buffer.concat(writer.take());
      assert.equal(message.length, length);
      assert.equal(length % 4, 0);
      const reader = new XdrReader(split(message, cuts));
      assert.deepEqual(
        fields.map((item) => read(reader, item)),
        fields.map((item) => item.value),
      );
      reader.end();
    }),
    { seed, numRuns: 500 },
  );
});

test('every prefix of a message is refused, never misread', () => {
  const fields: Field[] = [
    { kind: 'uint32', value: 1 },
    { kind: 'binaryString', value: 'name\0\xff' },
    { kind: 'size64', value: 2 ** 53 - 1 },
    { kind: 'slices', value: Buffer.from('payload') },
    { kind: 'opaque', value: Buffer.from('12345') },
  ];
  const writer = new XdrWriter();
  for (const item of fields) write(writer, item);
  const message = Buffer.concat(writer.take());
  for (let length = 0; length < message.length; length++) {
    for (const cut of [0, 1, length >> 1, length]) {
      const reader = new XdrReader([message.subarray(0, cut), message.subarray(cut, length)]);
      assert.throws(() => fields.map((item) => read(reader, item)), XdrError, `${length} bytes, cut at ${cut}`);
    }
  }
});

test('random bytes give values or XdrError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(field, { maxLength: 6 }), fc.nat(64), (raw, fields, cut) => {
      const reader = new XdrReader(split(Buffer.from(raw), [cut]));
      try {
        for (const item of fields) read(reader, item);
        reader.end();
      } catch (error) {
        assert.ok(error instanceof XdrError);
      }
    }),
    { seed, numRuns: 500 },
  );
});

test('the bytes are those of RFC 4506', () => {
  const writer = new XdrWriter();
  writer.int32(-2);
  writer.size64(0x1_0000_0002);
  writer.binaryString('abcde');
  writer.slices([Buffer.from([1]), Buffer.from([2])]);
  writer.bool(true);
  assert.equal(
    Buffer.concat(writer.take()).toString('hex'),
    `fffffffe 00000001 00000002 00000005 61626364 65000000 00000002 01020000 00000001`.replaceAll(' ', ''),
  );
});

test('lengths beyond a limit or the record are refused before anything is allocated', () => {
  const message = Buffer.from('ffffffff00000000', 'hex');
  for (const decode of ['opaque', 'binaryString', 'slices'] as const) {
    assert.throws(() => new XdrReader([message])[decode](100), /exceeds 100/);
    assert.throws(() => new XdrReader([message])[decode](2 ** 32), /exceeds the record/);
  }
  assert.throws(() => new XdrReader([Buffer.from([0, 0, 0, 2])]).bool(), XdrError);
  assert.throws(() => new XdrReader([Buffer.from([0, 0, 0, 2])]).enumeration(1), XdrError);
  assert.throws(() => new XdrReader([Buffer.from([0, 0, 0, 0])]).enumeration(5, 1), XdrError);
  assert.throws(() => new XdrReader([Buffer.alloc(4)]).end(), /4 bytes left/);
});

test('payload slices are views on the way in and on the way out', () => {
  const payload = Buffer.alloc(10_000, 3);
  const writer = new XdrWriter();
  writer.slices([payload]);
  const pieces = writer.take();
  assert.ok(pieces.some((piece) => piece.buffer === payload.buffer));
  const [view] = new XdrReader(pieces).slices(10_000);
  assert.equal(view!.buffer, payload.buffer);
});

test('rewind forgets splices, growth and padding', () => {
  fc.assert(
    fc.property(
      fc.array(field, { maxLength: 6 }),
      fc.array(field, { maxLength: 6 }),
      fc.array(field, { maxLength: 6 }),
      (kept, failed, after) => {
        const writer = new XdrWriter(32);
        const expected = new XdrWriter();
        for (const item of kept) write(writer, item);
        const mark = writer.mark();
        for (const item of failed) write(writer, item);
        writer.rewind(mark);
        for (const item of after) write(writer, item);
        for (const item of [...kept, ...after]) write(expected, item);
        const sinceMark = Buffer.concat(writer.piecesSince(mark));
        const all = Buffer.concat(writer.take());
        assert.deepEqual(all, Buffer.concat(expected.take()));
        assert.deepEqual(sinceMark, all.subarray(all.length - sinceMark.length));
      },
    ),
    { seed, numRuns: 300 },
  );
});

test('pieces taken stay what they are while the writer goes on, in a new arena or a given one', () => {
  const writer = new XdrWriter(8192);
  const taken: [Buffer, Buffer[]][] = [];
  const arenas: Buffer[] = [];
  for (let i = 0; i < 50; i++) {
    writer.uint32(i);
    writer.fixedOpaque(Buffer.alloc(i * 40, i));
    const pieces = i % 3 === 0 ? writer.take(Buffer.alloc(64)) : writer.take();
    taken.push([Buffer.concat(pieces), pieces]);
    arenas.push(writer.arena());
  }
  for (const [copy, pieces] of taken) assert.deepEqual(Buffer.concat(pieces), copy);
});

test('a patched word lands in its message after growth', () => {
  const writer = new XdrWriter(16);
  writer.uint32(7);
  const mark = writer.mark();
  writer.uint32(0);
  writer.fixedOpaque(Buffer.alloc(100));
  writer.slices([Buffer.alloc(9000)]);
  writer.patchUint32(mark.position, 0x80000001);
  assert.equal(Buffer.concat(writer.take()).readUInt32BE(4), 0x80000001);
});
