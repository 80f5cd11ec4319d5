/** The memory for a cache of the size that was asked for, or the reason why it cannot be; nothing on the disk is touched yet. */
import { totalmem } from 'node:os';
import { limits, ViaductError } from '../base/mod.ts';
import { bootId } from '../native/mod.ts';
import type { CleanCacheOptions } from './contract.ts';
import { geometryFor } from './geometry.ts';
import { hashWords } from './hash.ts';
import { type CacheMemory, createMemory, memoryBytes } from './memory.ts';

const GiB = 1024 ** 3;

export function reserveMemory(options: CleanCacheOptions): CacheMemory {
  const { sizeBytes } = options;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < limits.cacheBytes) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `a cache of ${sizeBytes} bytes is too small`,
      remedy: `give it at least ${limits.cacheBytes} bytes`,
    });
  }
  const geometry = geometryFor(sizeBytes);
  const needed = memoryBytes(geometry);
  if (needed > totalmem() * limits.cacheMemoryShare) throw tooLarge(sizeBytes, needed);
  try {
    return createMemory(geometry, bootWords(options));
  } catch (error) {
    if (error instanceof RangeError) throw tooLarge(sizeBytes, needed, error);
    throw error;
  }
}

function tooLarge(sizeBytes: number, neededBytes: number, from?: unknown): ViaductError {
  const gibibytes = (bytes: number): string => `${(bytes / GiB).toFixed(1)} GiB`;
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `a full cache of ${gibibytes(sizeBytes)} needs ${gibibytes(neededBytes)} of memory for its tags; this machine has ${gibibytes(totalmem())}`,
    remedy: `give a smaller --cache-size: its tags may take ${limits.cacheMemoryShare * 100} % of the memory, about 1.4 GiB for each TiB`,
    from,
  });
}

/** Without a boot id, each open counts as another boot: safe, and forgets more. */
function bootWords(options: CleanCacheOptions): Uint32Array {
  const id = options.bootId ?? bootId() ?? Buffer.from(options.random.bytes(new Uint8Array(16))).toString('hex');
  const characters = Uint8Array.from(Buffer.from(id, 'latin1'));
  return Uint32Array.of(hashWords(1, characters), hashWords(2, characters));
}
