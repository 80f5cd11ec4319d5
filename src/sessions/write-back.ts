/**
 * A session's write-back seen from outside: what waits, and the tasks that people and signals give.
 *
 *     status ──► layer, with names from paths ──► WriteBackStatus
 *     write-back, redirect commit ──► layer ──► DrainResult          progress twice a second meanwhile
 *
 * Invariant: `isAtOrigin` is never said while a change that was answered is missing at the origin.
 */
import { type Clock, type Log, limits, sleep, ViaductError } from '../base/mod.ts';
import type { DirtyFiles, DrainFace, DrainResult, DrainStatus, FileRecord, WriteBack } from '../layers/mod.ts';
import { type FileHandle, FileType } from '../vfs/mod.ts';
import { diskState, type LogDisk, logDisk } from './log-disk.ts';
import { noFile, type Paths, readable } from './paths.ts';
import type { TaskProgress, TaskResult } from './tasks.ts';
import type { ConflictStatus, LeftBehind, WriteBackStatus } from './write-back-status.ts';
import type { LoggedPolicy } from './write-policy.ts';

export interface WriteBackParts {
  readonly policy: LoggedPolicy;
  readonly directory: string;
  readonly layer: WriteBack;
  /** Of the layer. */
  readonly files: DirtyFiles;
  readonly drain: DrainFace;
  readonly paths: Paths;
  readonly clock: Clock;
  readonly logger: Log;
  /** Does it as the writer of the tree, with the write lease where the origin gives leases. Rejects with LEASE_HELD. */
  readonly leased: <Result>(takeOver: boolean, action: () => Promise<Result>) => Promise<Result>;
  /** Since when the origin has been away (milliseconds since 1970); undefined while it answers. */
  readonly awaySinceMs: () => number | undefined;
  /** Asks the origin whether the write lease is still held. */
  readonly checkLease: () => Promise<void>;
}

const progressMs = 500;
/** How long a status waits for what it has to ask the origin for: names, and whether the write lease is still held. */
const namesMs = 300;
/** How long the look-up of a FILE may take if there is nothing else to do: the origin may be away. */
const findMs = 10_000;
/** A look-up that takes longer is told of: the origin may be away for long. */
const quickMs = 1_000;

export class SessionWriteBack {
  readonly #parts: WriteBackParts;
  #committed: Promise<unknown> = Promise.resolve();

  constructor(parts: WriteBackParts) {
    this.#parts = parts;
  }

  get policy(): LoggedPolicy {
    return this.#parts.policy;
  }

  async status(): Promise<WriteBackStatus> {
    const { paths, clock, checkLease, directory } = this.#parts;
    // The first look tells which names are missing.
    this.#status();
    const asked = Promise.all([paths.settled(), checkLease()]);
    const [disk] = await Promise.all([logDisk(directory), Promise.race([asked, sleep(clock, namesMs)])]);
    return this.#status(disk);
  }

  /** What is known without asking anybody. */
  glance(): WriteBackStatus {
    return this.#status();
  }

  /** `file`: a path inside the export, `onFound` is told what it means; without it everything. */
  async writeBack(
    file: string | undefined,
    onProgress: (progress: TaskProgress) => void,
    onFound: (handle: FileHandle) => void = () => {},
  ): Promise<TaskResult> {
    const { policy, layer } = this.#parts;
    if (policy === 'redirect')
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: 'This session keeps its changes to itself (--policy redirect).',
        remedy: 'Say what is to become of them: `viaduct redirect commit` or `viaduct redirect discard`.',
      });
    const handle = file === undefined ? undefined : await this.#findPatiently(file, onProgress);
    if (handle !== undefined) onFound(handle);
    return this.#follow(() => layer.writeBack(handle), handle, onProgress);
  }

  commitRedirect(takeOver: boolean, onProgress: (progress: TaskProgress) => void): Promise<TaskResult> {
    this.#mustRedirect();
    const { layer, leased } = this.#parts;
    const commit = () => leased(takeOver, () => layer.commitRedirect());
    return this.#follow(() => this.#inTurn(commit), undefined, onProgress);
  }

  async discardRedirect(): Promise<TaskResult> {
    this.#mustRedirect();
    await this.#parts.layer.discardRedirect();
    return { outcome: 'done', problems: [] };
  }

  async clearConflict(file: string): Promise<TaskResult> {
    const { layer, logger } = this.#parts;
    if (!(await layer.clearConflict(await this.#findSoon(file))))
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `${file} is in no conflict.`,
        remedy: '`viaduct conflicts` lists the files that are.',
      });
    logger.info({ file }, 'the conflict is cleared: the file takes writes again');
    return { outcome: 'done', problems: [] };
  }

  /** What would stay behind if the session ended now: to be asked when clients are gone, before the layer is closed. */
  left(): LeftBehind {
    const { layer, policy, directory } = this.#parts;
    const { dirtyBytes, dirtyFiles, owedFiles, conflicts, lease } = layer.status();
    const files = dirtyFiles + owedFiles;
    const lostTo = lease.state === 'lost' ? lease.holder : undefined;
    return { policy, directory, bytes: dirtyBytes, files, conflicts: conflicts.length, lostTo };
  }

  /** One commit after the other: the first to end gives the lease back. */
  #inTurn<Result>(commit: () => Promise<Result>): Promise<Result> {
    const done = this.#committed.then(commit, commit);
    this.#committed = done;
    return done;
  }

  #mustRedirect(): void {
    if (this.#parts.policy === 'redirect') return;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `This session's policy is ${this.#parts.policy}, not redirect.`,
      remedy: 'Its changes go to the origin by themselves; `viaduct writeback --wait` waits for them.',
    });
  }

  async #follow(
    begin: () => Promise<DrainResult>,
    handle: FileHandle | undefined,
    onProgress: (progress: TaskProgress) => void,
  ): Promise<TaskResult> {
    const { drain, clock } = this.#parts;
    const done = begin();
    const totalBytes = drain.status().pendingBytes;
    const tell = (): void => {
      const { state, pendingBytes, bytesPerSecond, secondsLeft, problem } = this.#drainStatus(drain.status());
      // What clients write meanwhile is not part of the task.
      const left = Math.min(pendingBytes, totalBytes);
      onProgress({ state, totalBytes, pendingBytes: left, bytesPerSecond, secondsLeft, problem });
    };
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    done.then(over, over);
    tell();
    while (!isOver) {
      await Promise.race([done, sleep(clock, progressMs)]);
      if (!isOver) tell();
    }
    return this.#judge(await done, handle);
  }

  /** A file that is in conflict is not done, whenever that was found. */
  #judge({ outcome, problems }: DrainResult, handle: FileHandle | undefined): TaskResult {
    if (outcome !== 'done' && outcome !== 'refused') return { outcome, problems };
    const { conflicts } = this.#status();
    const wanted = handle === undefined ? undefined : hex(handle);
    const told = conflicts.filter((one) => one.kind !== 'interleaved' && (wanted ?? one.handle) === one.handle);
    if (told.length === 0) return { outcome, problems };
    const lines = told.map(describeConflict);
    return outcome === 'done'
      ? { outcome: 'conflict', problems: lines }
      : { outcome, problems: [...problems, ...lines] };
  }

  /** As the drain itself: it waits for an origin that is away, and says so. */
  async #findPatiently(file: string, onProgress: (progress: TaskProgress) => void): Promise<FileHandle> {
    const { drain, clock } = this.#parts;
    const finding = this.#find(file);
    const began = clock.now();
    const quick = (ms: number) => Promise.race([finding, sleep(clock, ms).then(() => undefined)]);
    let handle = await quick(quickMs);
    while (handle === undefined) {
      const { pendingBytes } = drain.status();
      const problem = `${file} is being looked up: the origin has not answered for ${Math.round((clock.now() - began) / 1000)} s`;
      const amounts = { totalBytes: pendingBytes, pendingBytes, bytesPerSecond: 0, secondsLeft: undefined };
      onProgress({ state: 'origin-away', ...amounts, problem });
      handle = await quick(progressMs);
    }
    return handle;
  }

  async #findSoon(file: string): Promise<FileHandle> {
    const found = await Promise.race([this.#find(file), sleep(this.#parts.clock, findMs)]);
    if (found !== undefined) return found;
    throw new ViaductError('TIMED_OUT', {
      cause: `${file} could not be looked up within ${findMs / 1000} s: the origin does not answer.`,
      remedy: 'Try again when the origin is back (`viaduct status`).',
    });
  }

  async #find(file: string): Promise<FileHandle> {
    const { paths, files, awaySinceMs } = this.#parts;
    const wanted = `/${file.split('/').filter(Boolean).join('/')}`;
    for (const record of files.all()) if (paths.pathOf(record.place) === wanted) return record.handle;
    // Nobody can say now what the name means; it meant this when the file was written.
    if (awaySinceMs() !== undefined)
      for (const record of files.all()) if (this.#pathOfRecord(record) === wanted) return record.handle;
    const shown = this.#findShown(wanted);
    if (shown !== undefined) return shown;
    const found = await paths.find(file);
    if (found !== undefined && found.type !== FileType.DIRECTORY) return found.handle;
    const byName = found === undefined ? this.#findByName(wanted) : undefined;
    if (byName !== undefined) return byName;
    throw noFile(file, found === undefined ? 'there is no such file in the export' : 'this is a directory');
  }

  /** As status and messages show files whose whole path is not known: `.../NAME`, `handle:HEX`. */
  #findShown(wanted: string): FileHandle | undefined {
    const named = /^\/handle:([0-9a-f]+)$/.exec(wanted)?.[1];
    if (named !== undefined) return this.#parts.files.get(Buffer.from(named, 'hex').toString('latin1'))?.handle;
    if (!wanted.startsWith('/.../')) return undefined;
    const found = [...this.#parts.files.all()].filter((record) => `/${this.#pathOfRecord(record)}` === wanted);
    return this.#onlyOne(wanted, found);
  }

  /** A name alone, which is no file of the root, if only one file here can be meant. */
  #findByName(wanted: string): FileHandle | undefined {
    const name = wanted.slice(1);
    const all = [...this.#parts.files.all()];
    return this.#onlyOne(
      name,
      name.includes('/') ? [] : all.filter(({ place }) => place && readable(place.name) === name),
    );
  }

  #onlyOne(wanted: string, found: readonly FileRecord[]): FileHandle | undefined {
    if (found.length < 2) return found[0]?.handle;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `${wanted} could be several files: ${found.map(({ handle }) => `handle:${hex(handle)}`).join(', ')}.`,
      remedy: 'Give the whole path, or the handle as it is written here (`viaduct status --json` shows both).',
    });
  }

  /** Of an origin that is known to be away nothing can be expected, whatever the next step would be. */
  #drainStatus(drain: DrainStatus): DrainStatus {
    const sinceMs = this.#parts.awaySinceMs();
    if (sinceMs === undefined) return drain;
    const isOrigins = drain.epochsPending > 0 && (drain.state === 'waiting' || drain.state === 'writing');
    if (!isOrigins && drain.state !== 'origin-away') return drain;
    const problem = `the origin has not answered since ${new Date(sinceMs).toISOString()}`;
    return { ...drain, state: 'origin-away', bytesPerSecond: 0, secondsLeft: undefined, problem };
  }

  #status(disk?: LogDisk): WriteBackStatus {
    const { policy, directory, layer, awaySinceMs } = this.#parts;
    const { commit, isAtOrigin, oldestAgeMs, drain, lease, ...status } = layer.status();
    const { recordBytes: usedBytes, logBytes: reservedBytes, limitBytes } = status.log;
    const { segments, epochs, waitingWriters } = status.log;
    const { syncs, failedSyncs, damagedReads } = status.log;
    return {
      policy,
      commit,
      isAtOrigin,
      pendingBytes: status.dirtyBytes,
      pendingFiles: status.dirtyFiles,
      oldestAgeMs,
      // What a redirected session keeps does not wait for the origin.
      drain: policy === 'redirect' ? drain : this.#drainStatus(drain),
      originAwaySinceMs: awaySinceMs(),
      files: status.files.map(({ handle, dirtyBytes, size, oldestAgeMs: ageMs }) => ({
        path: this.#pathOf(handle),
        handle,
        bytes: dirtyBytes,
        size,
        oldestAgeMs: ageMs,
      })),
      filesLeftOff: status.dirtyFiles - status.files.length,
      conflicts: status.conflicts.slice(0, limits.listedDirtyFiles).map(({ handle, conflict }) => {
        const { kind, atMs, savedAs } = conflict;
        return { path: this.#pathOf(handle), handle, kind, atMs, savedAs };
      }),
      lease,
      log: {
        ...{ directory, usedBytes, reservedBytes, limitBytes, segments, epochs, waitingWriters },
        ...{ syncs, failedSyncs, damagedReads },
        disk: disk && { ...disk, state: diskState(disk, limitBytes, reservedBytes) },
      },
    };
  }

  #pathOf(handle: string): string | undefined {
    return this.#pathOfRecord(this.#parts.files.get(Buffer.from(handle, 'hex').toString('latin1')));
  }

  /** As the origin tells, or as it was when the file was written; of a name whose directories nobody knows, `.../NAME`. */
  #pathOfRecord(record: FileRecord | undefined): string | undefined {
    const { place, path } = record ?? {};
    const known = this.#parts.paths.pathOf(place);
    if (known !== undefined || place === undefined) return known;
    return path === undefined ? `.../${readable(place.name)}` : readable(path);
  }
}

function describeConflict({ path, handle, kind, savedAs }: ConflictStatus): string {
  const what = kind === 'gone' ? 'was removed at the origin' : 'was changed at the origin by somebody else';
  const where = savedAs === undefined ? '' : `; this host's version is ${savedAs.name}`;
  const name = path ?? `handle:${handle}`;
  return `${name} ${what}${where}; to clear it: viaduct conflicts clear ${name}`;
}

function hex(handle: string): string {
  return Buffer.from(handle, 'latin1').toString('hex');
}
