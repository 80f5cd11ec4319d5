/** One bit for each item of a list: item n is bit n % 8 of byte n / 8. Items beyond its bytes are not in it. */
export class Bitmap {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static of(count: number): Bitmap {
    return new Bitmap(new Uint8Array(bitmapBytes(count)));
  }

  has(item: number): boolean {
    return (((this.bytes[item >> 3] ?? 0) >> (item & 7)) & 1) === 1;
  }

  set(item: number): void {
    this.bytes[item >> 3]! |= 1 << (item & 7);
  }
}

export function bitmapBytes(count: number): number {
  return (count + 7) >> 3;
}
