/**
 * Keeps our version of a file that somebody else changed: all that is dirty of it, beside the origin's version.
 *
 *     noted (the file takes no more writes) ──> synced ──> made, claimed ──> copied ──> noted as saved, dropped from the log ──> synced
 *             ^                                   crash: the same again, under the same name (from the noted time)
 *
 * The copy is `NAME.viaduct-conflict-HOST-TIME` in the file's directory, as long as the file was shown, with our ranges at their
 * offsets; if they do not cover it, `....ranges` lists them. If the origin does not take it, it goes into a directory of this host; if
 * there is none, it stays in the log, and the drain waits.
 *
 * Invariants: data is dropped from the log only after a copy of exactly that data is durable; nothing of the origin's is
 * overwritten but what an earlier attempt of ours made.
 */
import { limits } from '../../base/mod.ts';
import type { DirtyState, FileNumber } from '../../dirty/mod.ts';
import type * as vfs from '../../vfs/mod.ts';
import { conflictName } from './conflict.ts';
import { type ConflictTarget, openOriginCopy } from './conflict-copy.ts';
import type { ConflictDirectory } from './conflict-directory.ts';
import type { Conflict, FileRecord } from './contract.ts';
import { bytesOf, type DrainParts, nameOf } from './drain-parts.ts';
import { wccOf } from './times.ts';

/** What is read of the log at a time. */
const stepBytes = 1024 * 1024;
const rangesSuffix = '.ranges';
/** Names that others took already are passed over, a second each. */
const mostNames = 60;

type Ranges = [offset: number, count: number][];
type SavedAs = NonNullable<Conflict['savedAs']>;

export class ConflictSaver {
  readonly #parts: DrainParts;
  readonly #directory: ConflictDirectory | undefined;

  constructor(parts: DrainParts, directory: ConflictDirectory | undefined) {
    this.#parts = parts;
    this.#directory = directory;
  }

  /** Answers a problem if the version could not be saved yet. */
  async save(
    record: FileRecord,
    kind: 'changed' | 'gone',
    found: vfs.Attributes | undefined,
    writer: number,
  ): Promise<string | undefined> {
    const { context, clock, logger } = this.#parts;
    const atMs = clock.wallTimeMs();
    const seen = found === undefined ? undefined : wccOf(found);
    const conflict: Conflict = { atMs, kind, expected: record.base, found: seen, savedAs: undefined };
    context.files.update(record.handle, { conflict });
    this.#parts.onConflict(record.number);
    const what = kind === 'gone' ? 'was removed' : 'was changed';
    logger.error({ file: nameOf(record), code: 'CONFLICT' }, `a file ${what} by somebody else; our version is kept`);
    return this.#keep(record.number, writer);
  }

  /** A crash or a refusal came in between. */
  resume(record: FileRecord, writer: number): Promise<string | undefined> {
    return this.#keep(record.number, writer);
  }

  async #keep(number: FileNumber, writer: number): Promise<string | undefined> {
    const { context, logger } = this.#parts;
    const { log, files } = context;
    for (;;) {
      // The name must be the same after a power loss, and what is copied must be all there is.
      await log.sync();
      const record = files.byNumber(number);
      const state = log.state(number);
      if (record?.conflict === undefined || state === undefined) return undefined;
      const saved = await this.#copy(record, record.conflict, state, writer);
      if (this.#parts.isStopped()) return 'stopped';
      if (typeof saved === 'string') return saved;
      // A write that was answered meanwhile is not in the copy yet.
      const now = log.state(number);
      const latest = files.byNumber(number);
      if (now !== undefined && !isSame(state, now)) continue;
      if (latest?.conflict !== undefined) {
        const conflict = { ...latest.conflict, savedAs: saved };
        const base = latest.conflict.found ?? latest.base;
        files.update(latest.handle, { conflict, base, presented: undefined, intent: undefined, times: undefined });
      }
      log.drop(number);
      await log.sync();
      logger.warn({ file: nameOf(record), where: saved.where, name: saved.name }, 'our version was saved');
      return undefined;
    }
  }

  /** Where the copy is, or why there is none. */
  async #copy(record: FileRecord, conflict: Conflict, state: DirtyState, writer: number): Promise<SavedAs | string> {
    const { place } = record;
    let name = this.#nameOf(record, conflict);
    let problem = 'no name of it is known';
    for (const who of place === undefined ? [] : credentialsOf(this.#parts.context.files, record, writer)) {
      let opened: ConflictTarget | string = 'taken';
      for (let tries = 0; tries < mostNames && opened === 'taken'; tries++) {
        const current = this.#parts.context.files.byNumber(record.number)?.conflict ?? conflict;
        name = this.#nameOf(record, current);
        const isClaimed = current.savedAs?.where === 'log' && current.savedAs.name === name;
        opened = await openOriginCopy(this.#parts, { directory: place!.directory, name }, isClaimed, who);
        if (this.#parts.isStopped()) return 'stopped';
        await this.#claim(
          record,
          current,
          opened === 'taken' ? 'taken' : typeof opened === 'string' ? 'refused' : { name },
        );
      }
      if (typeof opened === 'string') problem = opened;
      else {
        const failed = await this.#fill(opened, record, conflict, state);
        if (failed === undefined) return { where: 'origin', name };
        problem = failed;
      }
      if (this.#parts.isStopped()) return 'stopped';
    }
    if (this.#directory === undefined)
      return `${nameOf(record)}: our version cannot be saved at the origin: ${problem}`;
    const latest = this.#parts.context.files.byNumber(record.number)?.conflict ?? conflict;
    const localSuffix = `.${record.number}`;
    const localName = this.#nameOf(record, latest, localSuffix.length) + localSuffix;
    const failed = await this.#directory.save(localName, (target) => this.#fill(target, record, conflict, state));
    if (failed === undefined) return { where: 'local', name: localName };
    return `${nameOf(record)}: our version can be saved neither at the origin (${problem}) nor here (${failed})`;
  }

  /** Notes that the copy of this name is ours, or, if the name is taken, that the next second's is tried. */
  async #claim(record: FileRecord, conflict: Conflict, outcome: 'refused' | 'taken' | { name: string }): Promise<void> {
    const { files, log } = this.#parts.context;
    if (outcome === 'refused') return;
    const changed: Conflict =
      outcome === 'taken'
        ? { ...conflict, atMs: conflict.atMs + 1000, savedAs: undefined }
        : { ...conflict, savedAs: { where: 'log', name: outcome.name } };
    files.update(record.handle, { conflict: changed });
    await log.sync();
  }

  #nameOf(record: FileRecord, { atMs }: Conflict, suffixBytes = 0): string {
    const own = record.place?.name ?? `file-${record.number}`;
    const mostBytes = limits.nameBytes - rangesSuffix.length - suffixBytes;
    return conflictName(own, this.#parts.options.hostName, atMs, mostBytes);
  }

  /** Answers what went wrong. */
  async #fill(
    target: ConflictTarget,
    record: FileRecord,
    conflict: Conflict,
    state: DirtyState,
  ): Promise<string | undefined> {
    const { log } = this.#parts.context;
    const ranges: Ranges = [];
    const begun = await target.begin(state.size);
    if (begun !== undefined) return begun;
    for (let offset = 0; offset < state.size; offset += stepBytes) {
      if (this.#parts.isStopped()) return 'stopped';
      const now = log.state(record.number);
      if (now === undefined) break;
      // A write that was under way may have cut it.
      const count = Math.min(stepBytes, state.size - offset, now.size - offset);
      if (count <= 0) break;
      const failed = await this.#copyStep(target, record.number, { offset, count }, ranges);
      if (failed !== undefined) return failed;
    }
    const covers = ranges.length === 1 && ranges[0]![0] === 0 && ranges[0]![1] === state.size;
    return target.end(covers || state.size === 0 ? undefined : rangesOf(record, conflict, state, ranges));
  }

  async #copyStep(
    target: ConflictTarget,
    number: FileNumber,
    { offset, count }: { readonly offset: number; readonly count: number },
    ranges: Ranges,
  ): Promise<string | undefined> {
    const view = this.#parts.context.log.read(number, offset, count);
    try {
      for (const piece of view.pieces) {
        if (piece.kind === 'base') continue;
        addRange(ranges, piece.offset, piece.count);
        if (piece.kind === 'zero') continue;
        const data = await bytesOf({ pieces: [piece], release: () => undefined });
        if (data === undefined)
          return `bytes ${piece.offset} to ${piece.offset + piece.count} of the dirty log do not verify`;
        const failed = await target.write(piece.offset, piece.count, data);
        if (failed !== undefined) return failed;
      }
    } finally {
      view.release();
    }
    return undefined;
  }
}

/** Who may make the copy: the file's owner first, whose directory it is most often. */
function credentialsOf(
  files: DrainParts['context']['files'],
  { owner }: FileRecord,
  writer: number,
): (vfs.Credential | { readonly uid: number; readonly gid: number })[] {
  const who = files.credentialOf(writer);
  return [...(owner === undefined ? [] : [owner]), ...(who === undefined ? [] : [who])];
}

function addRange(ranges: Ranges, offset: number, count: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last[0] + last[1] === offset) last[1] += count;
  else ranges.push([offset, count]);
}

function rangesOf(
  record: FileRecord,
  { atMs, expected, found }: Conflict,
  { size }: DirtyState,
  ranges: Ranges,
): Buffer {
  const time = new Date(atMs).toISOString();
  return Buffer.from(JSON.stringify({ file: nameOf(record), time, size, expected, found, ranges }));
}

function isSame(a: DirtyState, b: DirtyState): boolean {
  const { seconds, nanoseconds } = a.time;
  return (
    a.size === b.size &&
    a.dirtyBytes === b.dirtyBytes &&
    a.lastEpoch === b.lastEpoch &&
    seconds === b.time.seconds &&
    nanoseconds === b.time.nanoseconds
  );
}
