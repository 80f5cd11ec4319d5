/**
 * Lists of numbers so that zstd finds what is regular in them: each as the distance from the one before plus one (a run of
 * neighbours is all zeros), its sign folded into the lowest bit, and the four bytes of all distances in four planes, lowest first.
 */

export function toPlanes(numbers: Uint32Array): Uint8Array {
  const count = numbers.length;
  const planes = new Uint8Array(4 * count);
  let expected = 0;
  for (let index = 0; index < count; index++) {
    const number = numbers[index]!;
    const distance = (number - expected) | 0;
    const folded = (distance << 1) ^ (distance >> 31);
    planes[index] = folded;
    planes[count + index] = folded >>> 8;
    planes[2 * count + index] = folded >>> 16;
    planes[3 * count + index] = folded >>> 24;
    expected = number + 1;
  }
  return planes;
}

/** The first 4 * `count` bytes of `planes`. */
export function fromPlanes(planes: Uint8Array, count: number): Uint32Array {
  const numbers = new Uint32Array(count);
  let expected = 0;
  for (let index = 0; index < count; index++) {
    const low = planes[index]! | (planes[count + index]! << 8);
    const folded = low | (planes[2 * count + index]! << 16) | (planes[3 * count + index]! << 24);
    const distance = (folded >>> 1) ^ -(folded & 1);
    numbers[index] = expected + distance;
    expected = numbers[index]! + 1;
  }
  return numbers;
}
