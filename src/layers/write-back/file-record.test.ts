import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/mod.ts';
import { conflictName } from './conflict.ts';
import type { FileRecord } from './contract.ts';
import { decodeRecord, encodeRecord } from './file-record.ts';

const noteBytes = 4096;
const time = { seconds: 2 ** 32 - 1, nanoseconds: 999_999_999 };
const attributes = { size: Number.MAX_SAFE_INTEGER, mtime: time, ctime: time };

function longest(byte: string): FileRecord {
  const name = byte.repeat(limits.nameBytes);
  const directory = byte.repeat(64);
  const savedAs = { where: 'origin', name: conflictName(name, 'h'.repeat(64), 1_763_000_000_000, 255) } as const;
  const moment = 1_763_000_000_000.123;
  return {
    number: 2 ** 32 - 1,
    handle: directory,
    place: { directory, name },
    path: byte.repeat(limits.notedPathBytes),
    base: attributes,
    owner: { uid: 2 ** 32 - 1, gid: 2 ** 32 - 1 },
    presented: attributes,
    times: { atime: time, mtime: time },
    intent: { epoch: Number.MAX_SAFE_INTEGER, base: attributes, sinceMs: moment, aliveMs: moment },
    conflict: { atMs: moment, kind: 'interleaved', expected: attributes, found: attributes, savedAs },
    isLeaving: true,
  };
}

for (const byte of ['a', '\x01', '"', '\x7f', '\xff']) {
  test(`a record of the longest names of ${JSON.stringify(byte)} is a note, and comes back`, () => {
    const record = longest(byte);
    const note = encodeRecord(record);
    assert.ok(note.length <= 0.95 * noteBytes, `${note.length} bytes`);
    assert.deepEqual(decodeRecord(record.number, record.handle, note), record);
  });
}

test('a name longer than any that comes in is left out of the note', () => {
  const record = longest('\x01');
  const note = encodeRecord({ ...record, place: { directory: 'root', name: 'x'.repeat(5_000) } });
  assert.ok(note.length <= 0.95 * noteBytes);
  assert.equal(decodeRecord(record.number, record.handle, note).place, undefined);
});
