/** An owner as one thread sees it: its row, and stores whose files are on its account. */
import type { FileStamp } from '../vfs/mod.ts';
import { type Holder, nobodysHolder } from './accounts.ts';
import { dropFiles, fileFound, fileUnder, type ThreadParts } from './cached-file.ts';
import type { CachedFile, CacheOwner, CacheStat, CacheStore, OwnerOptions, OwnerStat } from './contract.ts';
import { hashWords } from './hash.ts';
import type { CacheMemory } from './memory.ts';
import { cacheStat } from './stat.ts';

export class NamedOwner implements CacheOwner {
  readonly name: string;
  private readonly parts: ThreadParts;
  private readonly number: number;

  constructor(parts: ThreadParts, options: OwnerOptions) {
    this.name = options.name;
    this.parts = parts;
    this.number = parts.engine.accounts.enter(options.name);
    if ('quotaBytes' in options) this.setQuota(options.quotaBytes);
  }

  store(origin: string): CacheStore {
    const holder = { ...nobodysHolder, number: this.number };
    return new OriginStore(this.parts, holder, originWord(this.parts.engine.memory, origin));
  }

  stat(): OwnerStat {
    return this.parts.engine.accounts.stat(this.number, this.name);
  }

  setQuota(bytes: number | undefined): void {
    this.parts.engine.accounts.setQuota(this.number, bytes);
  }

  end(): void {
    this.parts.engine.accounts.leave(this.number, this.name);
  }
}

class OriginStore implements CacheStore {
  private readonly parts: ThreadParts;
  private readonly holder: Holder;
  private readonly origin: number;

  constructor(parts: ThreadParts, holder: Holder, origin: number) {
    this.parts = parts;
    this.holder = holder;
    this.origin = origin;
  }

  file(key: string, stamp: FileStamp): CachedFile {
    return fileUnder(this.parts, key, stamp, this.holder, this.origin);
  }

  find(key: string): CachedFile | undefined {
    return fileFound(this.parts, key, this.holder);
  }

  clear(): Promise<void> {
    return dropFiles(this.parts, this.origin);
  }

  stat(): CacheStat {
    return cacheStat(this.parts.engine.memory);
  }
}

/** What stands for an origin in its files' records; two that share one lose their files together. Never 0. */
function originWord({ uuid }: CacheMemory, identity: string): number {
  return hashWords(hashWords(0x4f52_4947, uuid), Buffer.from(identity)) || 1;
}
