/** The bank files as one thread sees them: opened when first needed, each thread with descriptors of its own. */
import { closeSync, constants, openSync, read } from 'node:fs';
import { join } from 'node:path';
import { adviseRandom } from '../native/mod.ts';
import { bankName, type Geometry } from './geometry.ts';

export class Banks {
  private readonly directory: string;
  private readonly descriptors: Int32Array;

  constructor(directory: string, geometry: Geometry) {
    this.directory = join(directory, 'banks');
    this.descriptors = new Int32Array(geometry.bankCount).fill(-1);
  }

  /**
   * Throws the system's error. No read-ahead by the kernel: a page is in the page cache because we wrote it or because a read
   * asked for it and verified it, which is what the verified bits rely on.
   */
  descriptor(bank: number): number {
    const open = this.descriptors[bank]!;
    if (open >= 0) return open;
    const descriptor = openSync(join(this.directory, bankName(bank)), constants.O_RDWR | constants.O_CREAT, 0o600);
    adviseRandom(descriptor);
    this.descriptors[bank] = descriptor;
    return descriptor;
  }

  /** Bytes read, short at the end of the file; -1 on an error. */
  read(bank: number, buffer: Buffer, start: number, count: number, position: number): Promise<number> {
    return new Promise((resolve) => {
      read(this.descriptor(bank), buffer, start, count, position, (error, bytes) =>
        resolve(error === null ? bytes : -1),
      );
    });
  }

  close(): void {
    for (const descriptor of this.descriptors) if (descriptor >= 0) closeSync(descriptor);
    this.descriptors.fill(-1);
  }
}
