/** Randomness comes in as an argument, so that one seed replays a whole run. */
import { randomFillSync } from 'node:crypto';

export interface Random {
  /** Fills `target` and returns it. */
  bytes(target: Uint8Array): Uint8Array;
  /** Uniform in [0, 2^32). */
  uint32(): number;
}

export const systemRandom: Random = {
  bytes: (target) => randomFillSync(target),
  uint32: () => randomFillSync(new Uint32Array(1))[0]!,
};

/** A small fast generator (sfc32) for tests and simulations; the same seed gives the same sequence. */
export function seededRandom(seed: number): Random {
  let a = seed | 0;
  let b = 0x9e3779b9 | 0;
  let c = 0x243f6a88 | 0;
  let counter = 1;
  const uint32 = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    return t >>> 0;
  };
  for (let i = 0; i < 16; i++) uint32();
  return {
    uint32,
    bytes(target) {
      for (let i = 0; i < target.length; i++) target[i] = uint32() & 0xff;
      return target;
    },
  };
}
