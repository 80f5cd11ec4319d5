/**
 * The index file into memory: the bytes go straight to where they are used, holes are skipped, so that an empty cache of any
 * size opens at once and costs no memory. Each region proves itself; one that does not is forgotten alone.
 */
import { fstatSync, readSync } from 'node:fs';
import { seekData, seekHole } from '../native/mod.ts';
import { recordBytes, recordsOffset, recordWords, setBytes, setWords, ways } from './geometry.ts';
import { recordState, tagsState } from './index-format.ts';
import { bitCount, type CacheMemory, controlWord, recordFlag, recordWord, tagWord, validIndex } from './memory.ts';

const readBytes = 8 * 1024 * 1024;

export interface LoadReport {
  readonly damagedSets: number;
  readonly damagedRecords: number;
  /** Records that were being written by us when another boot of this host ended. */
  readonly unsureRecords: number;
  /** What the index file still says otherwise. */
  readonly changedSets: number[];
  readonly changedRecords: number[];
}

export function loadIndex(memory: CacheMemory, descriptor: number): LoadReport {
  const { geometry, records, tags, uuid, control } = memory;
  const report = { damagedSets: 0, damagedRecords: 0, unsureRecords: 0, changedSets: [], changedRecords: [] } as {
    -readonly [name in keyof LoadReport]: LoadReport[name];
  };
  const recordRuns = readRegion(descriptor, records, recordsOffset, recordBytes);
  for (const [first, end] of recordRuns) {
    for (let slot = first; slot < end; slot++) {
      const words = records.subarray(slot * recordWords, (slot + 1) * recordWords);
      const state = recordState(words, uuid, slot);
      if (state === 'empty') continue;
      if (state === 'good' && !isUnsure(words, memory.boot)) {
        if ((words[recordWord.flags]! & recordFlag.used) !== 0) control[controlWord.filesUsed]!++;
        continue;
      }
      if (state === 'damaged') report.damagedRecords++;
      else report.unsureRecords++;
      words.fill(0);
      report.changedRecords.push(slot);
    }
  }
  const tagRuns = readRegion(descriptor, tags, geometry.tagsOffset, setBytes);
  for (const [first, end] of tagRuns) {
    for (let set = first; set < end; set++) {
      const words = tags.subarray(set * setWords, (set + 1) * setWords);
      const state = tagsState(words, uuid, set);
      if (state === 'good') countSet(memory, set);
      if (state !== 'damaged') continue;
      report.damagedSets++;
      words.fill(0);
      report.changedSets.push(set);
    }
  }
  return report;
}

/** Data of a marked file may be of before the mark if the host went down: other times, same stamp. */
function isUnsure(words: Uint32Array, boot: Uint32Array): boolean {
  if ((words[recordWord.flags]! & recordFlag.written) === 0) return false;
  return words[recordWord.boot] !== boot[0] || words[recordWord.boot + 1] !== boot[1];
}

function countSet(memory: CacheMemory, set: number): void {
  for (let way = 0; way < ways; way++) {
    const valid = bitCount(memory.tagHalves[validIndex(set, way)]!);
    // Written down while its first data were still on their way: free.
    if (valid === 0) memory.tags[set * setWords + tagWord.version + way] = 0;
    else memory.control[controlWord.framesUsed]!++;
    memory.control[controlWord.sectorsValid]! += valid;
  }
}

/** Reads the data of a region of equal items; returns the runs of items [first, end) that were read, ascending. */
function readRegion(descriptor: number, target: Uint32Array, base: number, itemBytes: number): [number, number][] {
  const bytes = Buffer.from(target.buffer, target.byteOffset, target.byteLength);
  const limit = Math.min(base + bytes.length, fstatSync(descriptor).size);
  const runs: [number, number][] = [];
  for (let position = base; position < limit; ) {
    const data = seekData(descriptor, position);
    // -ENXIO: holes until the end. Any other failure: a file system without holes, all is data.
    if (data === -6 || data >= limit) break;
    const start = data < 0 ? position : data;
    const hole = data < 0 ? limit : seekHole(descriptor, start);
    const end = hole < 0 ? limit : Math.min(limit, hole);
    for (let at = start; at < end; ) {
      const count = readSync(descriptor, bytes, at - base, Math.min(readBytes, end - at), at);
      if (count === 0) break;
      at += count;
    }
    const first = Math.floor((start - base) / itemBytes);
    const previous = runs.at(-1)?.[1] ?? 0;
    runs.push([Math.max(first, previous), Math.ceil((end - base) / itemBytes)]);
    position = end;
  }
  return runs;
}
