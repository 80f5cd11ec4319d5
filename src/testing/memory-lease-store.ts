/** Leases in memory: what a test of the lease layer needs, and a model for the store on disk. */
import { limits } from '../base/mod.ts';
import type {
  FileHandle,
  LeaseRecord,
  LeaseRequest,
  LeaseStore,
  LeaseToken,
  NotedChange,
  WccAttributes,
} from '../vfs/mod.ts';

type Ended = NonNullable<LeaseRecord['ended']>;

export class MemoryLeaseStore implements LeaseStore {
  readonly serverId = 'memory, 16 bytes';
  readonly #rows = new Map<FileHandle, LeaseRecord>();
  readonly #changes = new Map<FileHandle, NotedChange>();
  #counter = 0;
  #version = 1;

  version(): number {
    return this.#version;
  }

  /** As if another process had changed something. */
  changedElsewhere(): void {
    this.#version++;
  }

  held(): readonly LeaseRecord[] {
    return this.#byToken((row) => row.ended === undefined);
  }

  find(tree: FileHandle): LeaseRecord | undefined {
    return this.#rows.get(tree);
  }

  grant(request: LeaseRequest): LeaseRecord | undefined {
    if (request.seenVersion !== this.#version) return undefined;
    const { tree, path, holder, instance, atMs } = request;
    for (const replaced of request.replaces) {
      const row = this.#rows.get(replaced);
      if (row !== undefined) this.end(replaced, row.token, { how: 'broken', by: holder, atMs });
    }
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(++this.#counter, 4);
    const token = bytes.toString('latin1');
    const record = { tree, path, token, holder, instance, sinceMs: atMs, seenMs: atMs, ended: undefined };
    this.#rows.set(tree, record);
    const ended = this.#byToken((row) => row.ended !== undefined);
    for (const row of ended.slice(0, Math.max(0, ended.length - limits.endedLeases))) this.#rows.delete(row.tree);
    return record;
  }

  renew(tree: FileHandle, token: LeaseToken, atMs: number): boolean {
    const row = this.#heldBy(tree, token);
    if (row !== undefined) this.#rows.set(tree, { ...row, seenMs: atMs });
    return row !== undefined;
  }

  end(tree: FileHandle, token: LeaseToken, ended: Ended): boolean {
    const row = this.#heldBy(tree, token);
    if (row === undefined) return false;
    this.#rows.set(tree, { ...row, ended });
    for (const [file, change] of this.#changes) if (change.token === token) this.#changes.delete(file);
    return true;
  }

  noteChange(token: LeaseToken, file: FileHandle, base: WccAttributes): void {
    this.#changes.delete(file);
    this.#changes.set(file, { token, file, base });
    const oldest = this.#changes.keys().next().value;
    if (this.#changes.size > limits.changeChains && oldest !== undefined) this.#changes.delete(oldest);
  }

  notedChanges(): readonly NotedChange[] {
    return [...this.#changes.values()];
  }

  close(): void {}

  #heldBy(tree: FileHandle, token: LeaseToken): LeaseRecord | undefined {
    const row = this.#rows.get(tree);
    return row?.token === token && row.ended === undefined ? row : undefined;
  }

  #byToken(wanted: (row: LeaseRecord) => boolean): LeaseRecord[] {
    return [...this.#rows.values()].filter(wanted).sort((a, b) => (a.token < b.token ? -1 : 1));
  }
}
