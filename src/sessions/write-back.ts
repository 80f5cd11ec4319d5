/**
 * A session's write-back seen from outside: what waits, and the tasks that people and signals give.
 *
 *     status ──► log, files, drain, paths ──► WriteBackStatus
 *     write-back, redirect commit ──seal──► drain.request ──► DrainResult          progress twice a second meanwhile
 *
 * Invariant: `isAtOrigin` is never said while a change that was answered is missing at the origin.
 */
import { type Clock, type Log, limits, sleep, ViaductError } from '../base/mod.ts';
import type { DirtyLogFace, EpochNumber } from '../dirty/mod.ts';
import type { DirtyFiles, DrainFace, DrainResult, FileRecord } from '../layers/mod.ts';
import { FileType, type LeaseState } from '../vfs/mod.ts';
import type { Paths } from './paths.ts';
import type { TaskProgress, TaskResult } from './tasks.ts';
import type { ConflictStatus, LeftBehind, PendingFile, WriteBackStatus } from './write-back-status.ts';
import type { LoggedPolicy } from './write-policy.ts';

export interface WriteBackParts {
  readonly policy: LoggedPolicy;
  readonly commit: 'local' | 'origin';
  readonly directory: string;
  readonly log: DirtyLogFace;
  readonly files: DirtyFiles;
  readonly drain: DrainFace;
  readonly paths: Paths;
  lease(): LeaseState;
  /** All that waits is forgotten; clients see the origin's files again. */
  discard(): Promise<void>;
  readonly clock: Clock;
  readonly logger: Log;
}

const progressMs = 500;
/** How long a status waits for names that it has to ask the origin for. */
const namesMs = 300;
/** How long the look-up of a FILE may take: the origin may be away. */
const findMs = 10_000;

export class SessionWriteBack {
  readonly #parts: WriteBackParts;

  constructor(parts: WriteBackParts) {
    this.#parts = parts;
  }

  get policy(): LoggedPolicy {
    return this.#parts.policy;
  }

  async status(): Promise<WriteBackStatus> {
    const { paths, clock } = this.#parts;
    // The first look tells which names are missing.
    this.#describeFiles();
    await Promise.race([paths.settled(), sleep(clock, namesMs)]);
    return this.#status();
  }

  /** `file`: a path inside the export; without it everything. */
  async writeBack(file: string | undefined, onProgress: (progress: TaskProgress) => void): Promise<TaskResult> {
    const { log, policy } = this.#parts;
    if (policy === 'redirect')
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: 'This session keeps its changes to itself (--policy redirect).',
        remedy: 'Say what is to become of them: `viaduct redirect commit` or `viaduct redirect discard`.',
      });
    if (file === undefined) {
      log.seal();
      return this.#drain(undefined, this.#conflicts(), onProgress);
    }
    const record = await this.#find(file);
    const state = record === undefined ? undefined : log.state(record.number);
    if (record === undefined || state === undefined)
      return this.#result('done', [], record === undefined ? [] : [record]);
    log.seal();
    return this.#drain(state.lastEpoch, [record], onProgress);
  }

  async commitRedirect(onProgress: (progress: TaskProgress) => void): Promise<TaskResult> {
    this.#mustRedirect();
    this.#parts.log.seal();
    return this.#drain(undefined, this.#conflicts(), onProgress);
  }

  async discardRedirect(): Promise<TaskResult> {
    this.#mustRedirect();
    await this.#parts.discard();
    return { outcome: 'done', problems: [] };
  }

  async clearConflict(file: string): Promise<TaskResult> {
    const { files, log } = this.#parts;
    const record = await this.#find(file);
    if (record?.conflict === undefined)
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `${file} is in no conflict.`,
        remedy: '`viaduct conflicts` lists the files that are.',
      });
    files.update(record.handle, { conflict: undefined });
    await log.sync();
    this.#parts.logger.info({ file }, 'the conflict is cleared: the file takes writes again');
    return { outcome: 'done', problems: [] };
  }

  /** Ends the drain and the log. Writers and readers are gone by now. */
  async close(): Promise<LeftBehind> {
    const { drain, log, policy, directory, logger } = this.#parts;
    await drain.close();
    const { dirtyBytes: bytes, dirtyFiles: files } = log.stats();
    await log.close();
    const fields = { policy, directory, bytes, files };
    if (files === 0) logger.info(fields, 'everything is at the origin');
    else if (policy === 'redirect') logger.info(fields, 'the changes of this redirect session are kept');
    else logger.warn(fields, 'the origin does not have everything yet; the next start of this session goes on');
    return fields;
  }

  #mustRedirect(): void {
    if (this.#parts.policy === 'redirect') return;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `This session's policy is ${this.#parts.policy}, not redirect.`,
      remedy: 'Its changes go to the origin by themselves; `viaduct writeback --wait` waits for them.',
    });
  }

  async #drain(
    upTo: EpochNumber | undefined,
    watched: readonly FileRecord[],
    onProgress: (progress: TaskProgress) => void,
  ): Promise<TaskResult> {
    const { drain, clock, files } = this.#parts;
    const totalBytes = drain.status().pendingBytes;
    const tell = (): void => {
      const { state, pendingBytes, bytesPerSecond, secondsLeft, problem } = drain.status();
      // What clients write meanwhile is not part of the task.
      const left = Math.min(pendingBytes, totalBytes);
      onProgress({ state, totalBytes, pendingBytes: left, bytesPerSecond, secondsLeft, problem });
    };
    let isOver = false;
    const done = drain.request(upTo).finally(() => {
      isOver = true;
    });
    tell();
    while (!isOver) {
      await Promise.race([done, sleep(clock, progressMs)]);
      if (!isOver) tell();
    }
    const { outcome, problems } = await done;
    const still = watched.map((record) => files.byNumber(record.number) ?? record);
    return this.#result(outcome, problems, upTo === undefined ? this.#conflicts() : still);
  }

  /** A file that is in conflict is not done, whenever that was found. */
  #result(outcome: DrainResult['outcome'], problems: readonly string[], watched: readonly FileRecord[]): TaskResult {
    const told = watched.filter((record) => record.conflict !== undefined && record.conflict.kind !== 'interleaved');
    if (outcome !== 'done' || told.length === 0) return { outcome, problems };
    return { outcome: 'conflict', problems: told.map((record) => describeConflict(this.#conflict(record))) };
  }

  async #find(file: string): Promise<FileRecord | undefined> {
    const { paths, files, clock } = this.#parts;
    const wanted = `/${file.split('/').filter(Boolean).join('/')}`;
    for (const record of files.all()) if (paths.pathOf(record.place) === wanted) return record;
    const found = await Promise.race([paths.find(file), sleep(clock, findMs).then(() => 'away' as const)]);
    if (found === 'away')
      throw new ViaductError('TIMED_OUT', {
        cause: `${file} could not be looked up within ${findMs / 1000} s: the origin does not answer.`,
        remedy: 'Try again when the origin is back (`viaduct status`), or ask for everything: `viaduct writeback`.',
      });
    if (found !== undefined && found.type !== FileType.DIRECTORY) return files.get(found.handle);
    const why = found === undefined ? 'there is no such file in the export' : 'this is a directory';
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `${file}: ${why}.`,
      remedy: 'Give the path of a file as clients of the session see it, for example /golden/disk.raw.',
    });
  }

  #status(): WriteBackStatus {
    const { policy, commit, directory, log, drain, clock, lease } = this.#parts;
    const stats = log.stats();
    const files = this.#describeFiles();
    const { logBytes: usedBytes, limitBytes, segments, epochs, waitingWriters } = stats;
    const { syncs, failedSyncs, damagedReads } = stats;
    return {
      policy,
      commit,
      isAtOrigin: stats.dirtyFiles === 0 && !log.epochs().some((epoch) => epoch.payloadBytes > 0),
      pendingBytes: stats.dirtyBytes,
      pendingFiles: stats.dirtyFiles,
      oldestAgeMs: stats.oldestMs === undefined ? undefined : Math.max(0, clock.wallTimeMs() - stats.oldestMs),
      drain: drain.status(),
      files: files.slice(0, limits.listedDirtyFiles),
      filesLeftOff: Math.max(0, files.length - limits.listedDirtyFiles),
      conflicts: this.#conflicts()
        .slice(0, limits.listedDirtyFiles)
        .map((record) => this.#conflict(record)),
      lease: lease(),
      log: { directory, usedBytes, limitBytes, segments, epochs, waitingWriters, syncs, failedSyncs, damagedReads },
    };
  }

  #describeFiles(): PendingFile[] {
    const { log, files, paths, clock } = this.#parts;
    const described: PendingFile[] = [];
    for (const number of log.dirtyFiles()) {
      const state = log.state(number);
      if (state === undefined) continue;
      const record = files.byNumber(number);
      described.push({
        path: paths.pathOf(record?.place),
        handle: hex(record?.handle ?? ''),
        bytes: state.dirtyBytes,
        size: state.size,
        oldestAgeMs: Math.max(0, clock.wallTimeMs() - state.oldestMs),
      });
    }
    return described.sort((a, b) => b.bytes - a.bytes);
  }

  #conflicts(): FileRecord[] {
    return [...this.#parts.files.all()].filter((record) => record.conflict !== undefined);
  }

  #conflict(record: FileRecord): ConflictStatus {
    const { kind, atMs, savedAs } = record.conflict!;
    return { path: this.#parts.paths.pathOf(record.place), handle: hex(record.handle), kind, atMs, savedAs };
  }
}

function describeConflict({ path, handle, kind, savedAs }: ConflictStatus): string {
  const what = kind === 'gone' ? 'was removed at the origin' : 'was changed at the origin by somebody else';
  const where = savedAs === undefined ? '' : `; this host's version is ${savedAs.name}`;
  return `${path ?? `file ${handle}`} ${what}${where}`;
}

function hex(handle: string): string {
  return Buffer.from(handle, 'latin1').toString('hex');
}
