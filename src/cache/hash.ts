/**
 * Hashes of the cache: which set, and what a sector's checksum is seeded with.
 *
 * A key is 16 bytes that are a digest already, so mixing is enough (MurmurHash3's rounds). The seed binds a checksum to its
 * cache (uuid), file (key), version (two random words) and place (block, sector): a sum that was computed for anything else
 * verifies with probability 2^-32 only.
 */

/** MurmurHash3's finalizer: every bit of the input reaches every bit of the output. */
export function finish(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export function hashWords(seed: number, words: ArrayLike<number>): number {
  let h = seed;
  for (let index = 0; index < words.length; index++) {
    let k = Math.imul(words[index]!, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    h ^= k;
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
  }
  return finish(h ^ words.length);
}

/** The four words of a 16-byte latin1 key. */
export function keyWords(key: string): Uint32Array {
  const words = new Uint32Array(4);
  for (let index = 0; index < 16; index++) words[index >> 2]! |= (key.charCodeAt(index) & 0xff) << ((index & 3) * 8);
  return words;
}

/** What all sectors of one version of one file have in common. */
export interface VersionSeed {
  readonly first: number;
  readonly second: number;
}

export function versionSeed(
  uuid: ArrayLike<number>,
  key: ArrayLike<number>,
  version: number,
  nonce: number,
): VersionSeed {
  const words = [...Array.from(uuid), ...Array.from(key), version, nonce];
  return { first: hashWords(0x5649_4144, words), second: hashWords(0x5543_5421, words) };
}

export function sectorSeed(seed: VersionSeed, block: number, sector: number): number {
  const low = Math.imul((block << 4) | sector, 0x9e3779b1);
  const high = Math.imul(block >>> 28, 0x7feb352d);
  return finish(finish(seed.first ^ low) + (seed.second ^ high));
}
