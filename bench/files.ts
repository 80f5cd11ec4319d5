/** Files of random content for benches: neither sparse nor compressible. */
import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';

const chunkBytes = 8 * 1024 * 1024;

export async function randomFile(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'wx');
  try {
    const chunk = Buffer.alloc(chunkBytes);
    for (let offset = 0; offset < bytes; offset += chunkBytes)
      await file.write(randomFillSync(chunk), 0, Math.min(chunkBytes, bytes - offset), offset);
  } finally {
    await file.close();
  }
}
