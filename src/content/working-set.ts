/**
 * Working sets as bytes (docs/content-format.md):
 *
 *     0 magic[16]   16 version u32   20 stamp[40]   60 purpose[32], filled up with zeros   92 runs u32   96 blockCount u32
 *   100 stored bytes u32   104 crc32 of them u32   108 zero   124 crc32 of what is before
 *   128 blocks as planes, then weights, squeezed
 */
import { crc32 } from 'node:zlib';
import { assert, limits } from '../base/mod.ts';
import { ContentError, type WorkingSet } from './contract.ts';
import { HeaderFormat, readStamp, writeStamp } from './header.ts';
import { isPurpose } from './names.ts';
import { fromPlanes, toPlanes } from './planes.ts';
import { squeeze, unsqueeze } from './squeeze.ts';

const format = new HeaderFormat('set', 1, 128);
const purposeBytes = 32;
/** Four planes of block numbers and a weight. */
const blockEntryBytes = 5;

export function encodeWorkingSet(set: WorkingSet): Uint8Array {
  const problem = problemOf(set);
  assert(problem === undefined, `a working set: ${problem}`);
  const stored = squeeze(Buffer.concat([toPlanes(set.blocks), set.weights]));
  const header = format.create();
  writeStamp(header, set.stamp, 20);
  header.write(set.purpose, 60, 'latin1');
  header.writeUInt32LE(set.runs, 92);
  header.writeUInt32LE(set.blocks.length, 96);
  header.writeUInt32LE(stored.length, 100);
  header.writeUInt32LE(crc32(stored), 104);
  return Buffer.concat([format.seal(header), stored]);
}

export function decodeWorkingSet(bytes: Uint8Array): WorkingSet {
  const header = format.open(bytes);
  const blockCount = header.readUInt32LE(96);
  if (blockCount > limits.workingSetBlocks) throw new ContentError('working set: too many blocks');
  const stored = bytes.subarray(format.bytes);
  if (stored.length !== header.readUInt32LE(100)) throw new ContentError('working set: it has another size');
  if (crc32(stored) !== header.readUInt32LE(104)) throw new ContentError('working set: it is damaged');
  const decoded = unsqueeze(stored, blockCount * blockEntryBytes, 'working set');
  const purpose = header.toString('latin1', 60, 60 + purposeBytes).replace(/\0+$/, '');
  const set: WorkingSet = {
    stamp: readStamp(header, 20),
    purpose,
    blocks: fromPlanes(decoded, blockCount),
    weights: Uint8Array.from(decoded.subarray(4 * blockCount)),
    runs: header.readUInt32LE(92),
  };
  const problem = problemOf(set);
  if (problem !== undefined) throw new ContentError(`working set: ${problem}`);
  return set;
}

function problemOf(set: WorkingSet): string | undefined {
  const { blocks, weights, runs } = set;
  if (!isPurpose(set.purpose)) return 'a purpose that is none';
  if (set.stamp.size > limits.contentFileBytes) return 'the file is too large';
  if (blocks.length !== weights.length || blocks.length > limits.workingSetBlocks) return 'too many blocks or weights';
  if (runs < 1 || runs > 0xffff_ffff) return 'no runs';
  for (const weight of weights) if (weight < 1 || weight > runs) return 'a weight that is none';
  const ordered = blocks.toSorted();
  if (ordered.length > 0 && ordered.at(-1)! * limits.blockBytes >= set.stamp.size) return 'a block beyond the file';
  for (let index = 1; index < ordered.length; index++)
    if (ordered[index] === ordered[index - 1]) return 'a block twice';
  return undefined;
}
