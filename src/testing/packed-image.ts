/** Images of a few sectors, and what their meta-data and packs say of them, read in the plainest way. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { type Clock, seededRandom } from '../base/mod.ts';
import {
  chunkBytes,
  decodeGroup,
  decodeHead,
  decodePackHeader,
  decodePage,
  digestOf,
  type MetaHead,
  packHeaderBytes,
  pageSectors,
} from '../content/mod.ts';

/** A clock of a later hour, by which all files have settled; sleeping takes no time. */
export const laterClock: Clock = {
  now: () => 0,
  wallTimeMs: () => Date.now() + 3_600_000,
  after(_delayMs, action) {
    setImmediate(action);
    return { cancel: () => {} };
  },
};

/** Sectors by letter: `.` is zero, the same letter the same bytes; the last may be short. */
export function bytesOf(pattern: string): Buffer {
  const sectors = new Map<string, Buffer>();
  for (const letter of pattern) if (!sectors.has(letter)) sectors.set(letter, sectorOf(letter));
  return Buffer.concat([...pattern].map((letter) => sectors.get(letter)!));
}

function sectorOf(letter: string): Buffer {
  if (letter === '.') return Buffer.alloc(chunkBytes);
  return Buffer.from(seededRandom(letter.charCodeAt(0)).bytes(new Uint8Array(chunkBytes)));
}

/** Every sector of the image, through meta-data and pack alone, each checked against its digest. */
export async function unpacked(image: string): Promise<Buffer> {
  const at = image.lastIndexOf('/');
  const base = `${image.slice(0, at)}/.viaduct/${image.slice(at + 1)}`;
  const meta = readFileSync(`${base}.meta`);
  const head: MetaHead = decodeHead(meta);
  const pack = existsSync(`${base}.pack`) ? readFileSync(`${base}.pack`) : undefined;
  if (pack !== undefined) assert.deepEqual(decodePackHeader(pack.subarray(0, packHeaderBytes)), head.packId);
  const file = Buffer.alloc(head.sectorCount * chunkBytes);
  const pages = new Map<number, ReturnType<typeof decodePage>>();
  for (let at = head.nextData(0); at < head.sectorCount; at = head.nextData(at + 1)) {
    const number = Math.floor(at / pageSectors);
    const place = head.page(number);
    const page = pages.get(number) ?? decodePage(head, number, meta.subarray(place.offset, place.offset + place.count));
    pages.set(number, page);
    const chunk = page.chunkOf(at)!;
    const group = head.groupOf(chunk);
    const bytes = await decodeGroup(group, pack!.subarray(group.offset, group.offset + group.count));
    const start = (chunk - group.firstChunk) * chunkBytes;
    const found = bytes.subarray(start, start + chunkBytes);
    assert.deepEqual(Buffer.from(digestOf(found)), Buffer.from(page.digestOf(at)));
    file.set(found, at * chunkBytes);
  }
  return file.subarray(0, head.stamp.size);
}

export function headOf(image: string): MetaHead {
  const at = image.lastIndexOf('/');
  return decodeHead(readFileSync(`${image.slice(0, at)}/.viaduct/${image.slice(at + 1)}.meta`));
}
