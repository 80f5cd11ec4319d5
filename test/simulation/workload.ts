/** What a client does: single operations, and the patterns of programs that rely on their order (journals, replaced files). */
import type { Chance } from '../../src/testing/mod.ts';
import * as vfs from '../../src/vfs/mod.ts';
import type { Client } from './client.ts';
import type { FileHistory } from './history.ts';
import { Layout } from './layout.ts';
import type { Locks } from './locks.ts';
import type { Model } from './model.ts';
import type { WorkName } from './plan.ts';

const { Stability } = vfs;
export const filesNamed = ['disk', 'state', 'config', 'log', 'data'] as const;
export const journals = ['disk-journal', 'state-journal'] as const;
export const temporaries = ['config.new', 'data.new', '.nfs001', '.nfs002'] as const;
export const allNames: readonly string[] = [...filesNamed, ...journals, ...temporaries];

export interface WorkContext {
  readonly client: Client;
  readonly model: Model;
  readonly locks: Locks;
  readonly chance: Chance;
  readonly directory: vfs.FileHandle;
  /** The file is there: whoever watches it begins. */
  readonly onFile: (file: FileHistory) => void;
  /** Ends the proxy in order, and starts it again. */
  readonly restartProxy: () => Promise<void>;
  readonly nowSeconds: () => number;
  readonly nextFile: () => number;
  readonly busyNames: Set<string>;
  /** Most bytes of one WRITE, as FSINFO says. */
  readonly writeMaximum: number;
}

export class Workload {
  readonly #context: WorkContext;
  readonly #chance: Chance;

  constructor(context: WorkContext) {
    this.#context = context;
    this.#chance = context.chance;
  }

  async step(work: WorkName): Promise<void> {
    const { client, directory, restartProxy } = this.#context;
    const file = this.#anyFile();
    if (work === 'create' || file === undefined) {
      await this.#create(this.#chance.pick(filesNamed));
      return;
    }
    switch (work) {
      case 'write':
        return this.#write(file, Stability.UNSTABLE);
      case 'stableWrite':
        return this.#write(file, this.#chance.pick([Stability.DATA_SYNC, Stability.FILE_SYNC]));
      case 'burst':
        return this.#burst(file);
      case 'commit':
        return client.commit(file);
      case 'read':
        return this.#read(file);
      case 'look': {
        const look = this.#chance.below(3);
        if (look === 0) return client.getattr(file);
        return look === 1 ? client.access(file) : client.lookup(file, directory);
      }
      case 'resize':
        return this.#alone(file, () => client.resize(file, this.#anyCell(file)));
      case 'setTime':
        return this.#alone(file, () => client.setTime(file, this.#anyTime()));
      case 'setMode':
        return this.#alone(file, () => client.setMode(file, this.#chance.pick([0o666, 0o644, 0o600])));
      case 'remove':
        return this.#remove(file);
      case 'rename':
        return this.#rename(file, this.#chance.pick(allNames));
      case 'transaction':
        return this.#transaction();
      case 'replace':
        return this.#replace();
      case 'close':
        return restartProxy();
    }
  }

  #anyFile(): FileHistory | undefined {
    const files = [...this.#context.model.files()];
    return files.length === 0 ? undefined : this.#chance.pick(files);
  }

  #anyCell(file: FileHistory): number {
    return this.#chance.below(file.layout.cells + 1);
  }

  #anyTime(): vfs.Time {
    const seconds = this.#context.nowSeconds() - this.#chance.below(100_000);
    return { seconds, nanoseconds: this.#chance.pick([0, 5_000_000, 999_000_000]) };
  }

  async #write(file: FileHistory, stable: vfs.StabilityCode, where?: readonly [number, number]): Promise<void> {
    const { client, locks, writeMaximum } = this.#context;
    const cells = file.layout.cells;
    const from = where?.[0] ?? this.#chance.below(cells);
    let to = where?.[1] ?? Math.min(cells, from + this.#chance.pick([1, 1, 2, 3, 10, cells]));
    while (file.layout.start(to - 1) + file.layout.width(to - 1) - file.layout.start(from) > writeMaximum) to--;
    const release = locks.range(file, from, to);
    if (release === undefined) return;
    await client.write(file, from, to, stable);
    release();
  }

  /** As kernels flush: many at once, in any order, then a COMMIT. */
  async #burst(file: FileHistory): Promise<void> {
    const writes: Promise<void>[] = [];
    const from = this.#chance.below(file.layout.cells);
    for (let cell = from; cell < Math.min(file.layout.cells, from + 12); cell++) {
      if (this.#chance.happens(0.8)) writes.push(this.#write(file, Stability.UNSTABLE, [cell, cell + 1]));
    }
    await Promise.all(writes);
    if (this.#chance.happens(0.7)) await this.#context.client.commit(file);
  }

  async #read(file: FileHistory): Promise<void> {
    const bytes = file.layout.bytes;
    const offset = this.#chance.pick([
      0,
      this.#chance.below(bytes + 5000),
      file.layout.start(this.#chance.below(file.layout.cells)),
    ]);
    const count = this.#chance.pick([1 + this.#chance.below(5000), 4096, 64 * 1024, bytes]);
    await this.#context.client.read(file, offset, Math.min(count, 1024 * 1024));
  }

  async #alone(file: FileHistory, action: () => Promise<void>): Promise<void> {
    const release = this.#context.locks.whole(file);
    if (release === undefined) return;
    await action();
    release();
  }

  async #create(name: string): Promise<FileHistory | undefined> {
    const { model, client, busyNames, directory } = this.#context;
    if (model.byName(name) !== undefined || busyNames.has(name)) return undefined;
    busyNames.add(name);
    const mode = this.#chance.pick(['unchecked', 'guarded'] as const);
    const asked = model.tick();
    let object: string | undefined;
    const reply = await client.name(undefined, async (fs, call) => {
      const created = await fs.create(call, { where: { directory, name }, how: { mode, set: { mode: 0o666 } } });
      if (created.status === 0) object = created.object;
      return created;
    });
    busyNames.delete(name);
    if (reply?.status !== 0 || object === undefined) return undefined;
    return this.adopt(name, object, asked);
  }

  /** A file of the origin that the model does not know yet. */
  adopt(name: string, handle: vfs.FileHandle, issued: number): FileHistory {
    const { model, nextFile, onFile } = this.#context;
    const file = model.create(nextFile(), Layout.draw(this.#chance), issued);
    file.handle = handle;
    model.enter(name, file);
    onFile(file);
    return file;
  }

  async #remove(file: FileHistory): Promise<void> {
    const { client, model, directory, busyNames } = this.#context;
    const name = file.name;
    if (name === undefined || busyNames.has(name)) return;
    await this.#alone(file, async () => {
      busyNames.add(name);
      const reply = await client.name(file, (fs, call) => fs.remove(call, { directory, name }));
      busyNames.delete(name);
      if (reply?.status === 0) model.leave(name);
    });
  }

  async #rename(file: FileHistory, toName: string): Promise<void> {
    const { client, model, directory, locks, busyNames } = this.#context;
    const fromName = file.name;
    const target = model.byName(toName);
    if (fromName === undefined || fromName === toName || busyNames.has(fromName) || busyNames.has(toName)) return;
    const releaseTarget = target === undefined ? () => {} : locks.whole(target);
    if (releaseTarget === undefined) return;
    await this.#alone(file, async () => {
      busyNames.add(fromName).add(toName);
      const places = { from: { directory, name: fromName }, to: { directory, name: toName } };
      const reply = await client.name(file, (fs, call) => fs.rename(call, places));
      busyNames.delete(fromName);
      busyNames.delete(toName);
      if (reply?.status === 0) model.enter(toName, file);
    });
    releaseTarget();
  }

  /** A rollback journal: old content is saved and made stable before it is overwritten, and removed after the new is stable. */
  async #transaction(): Promise<void> {
    const { client, model } = this.#context;
    const index = this.#chance.below(journals.length);
    const database = model.byName(filesNamed[index]!);
    if (database === undefined) return;
    const journal = await this.#create(journals[index]!);
    if (journal === undefined) return;
    await this.#write(journal, Stability.UNSTABLE, [0, this.#chance.between(1, 6)]);
    await client.commit(journal);
    for (let writes = this.#chance.between(1, 4); writes > 0; writes--) await this.#write(database, Stability.UNSTABLE);
    await client.commit(database);
    if (journal.name === journals[index]) await this.#remove(journal);
  }

  /** A file is written under another name and takes the old one's place. */
  async #replace(): Promise<void> {
    const { client } = this.#context;
    const file = await this.#create(this.#chance.pick(temporaries));
    if (file === undefined) return;
    await this.#write(file, Stability.UNSTABLE, [0, this.#chance.between(1, file.layout.cells)]);
    if (this.#chance.happens(0.6)) await client.commit(file);
    if (file.name !== undefined) await this.#rename(file, this.#chance.pick(['config', 'data']));
  }
}
