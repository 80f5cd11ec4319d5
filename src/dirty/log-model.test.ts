/** What a dirty log must say, worked out the slow way from the list of all that was asked of it. */
import assert from 'node:assert/strict';
import { type Clock, type Log, seededRandom, silentLog } from '../base/mod.ts';
import { type SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import type { DirtyLogFace, LogDirectory, LogFile, View } from './contract.ts';
import { DirtyLog } from './mod.ts';

export const fileBytes = 40_000;
export const base = -1;
export const zero = -2;

export type Step =
  | {
      readonly kind: 'write';
      readonly file: number;
      readonly offset: number;
      readonly count: number;
      readonly byte: number;
      sizeAfter: number;
    }
  | { readonly kind: 'resize'; readonly file: number; sizeAfter: number }
  | { readonly kind: 'seal' }
  | { readonly kind: 'drained' }
  | { readonly kind: 'drop'; readonly file: number }
  | { readonly kind: 'note'; readonly value: number }
  | { readonly kind: 'discard' };

export interface ModelFile {
  size: number;
  /** A byte of each place, or `base` or `zero`. */
  readonly bytes: Int16Array;
}

interface ModelEpoch {
  readonly steps: Step[];
  changes: number;
}

/** What the first `count` steps come to. The last epoch is the open one. */
export function modelOf(steps: readonly Step[], count: number) {
  let epochs: ModelEpoch[] = [{ steps: [], changes: 0 }];
  let note: number | undefined;
  const cuts = new Set<Step>();
  for (const step of steps.slice(0, count)) {
    const open = epochs[epochs.length - 1]!;
    if (step.kind === 'seal') {
      if (open.changes > 0) epochs.push({ steps: [], changes: 0 });
    } else if (step.kind === 'drained') epochs.shift();
    else if (step.kind === 'discard') epochs = [{ steps: [], changes: 0 }];
    else if (step.kind === 'note') note = step.value;
    else {
      // Known to grow or not, at that time.
      if (step.kind === 'resize' && step.sizeAfter < (sizeIn(epochs, step.file) ?? Number.POSITIVE_INFINITY))
        cuts.add(step);
      open.steps.push(step);
      if (step.kind !== 'drop') open.changes++;
    }
  }
  const files = new Map<number, ModelFile>();
  for (const epoch of epochs) for (const step of epoch.steps) applyStep(files, step, cuts.has(step));
  const sealed = epochs.length - 1;
  return { files, note, sealed, isOpen: epochs[sealed]!.changes > 0 };
}

function sizeIn(epochs: readonly ModelEpoch[], file: number): number | undefined {
  for (let index = epochs.length - 1; index >= 0; index--) {
    const step = epochs[index]!.steps.findLast((one) => 'file' in one && one.file === file);
    if (step?.kind === 'drop') return undefined;
    if (step?.kind === 'write' || step?.kind === 'resize') return step.sizeAfter;
  }
  return undefined;
}

function applyStep(files: Map<number, ModelFile>, step: Step, isCut: boolean): void {
  if (step.kind === 'drop') files.delete(step.file);
  if (step.kind !== 'write' && step.kind !== 'resize') return;
  let file = files.get(step.file);
  if (file === undefined) {
    file = { size: step.sizeAfter, bytes: new Int16Array(fileBytes).fill(base) };
    files.set(step.file, file);
  }
  if (step.kind === 'write') file.bytes.fill(step.byte, step.offset, step.offset + step.count);
  else if (isCut) file.bytes.fill(zero, step.sizeAfter);
  file.size = step.sizeAfter;
}

/** What the log says of the first bytes of a file, in the same form. */
export async function shown(view: View): Promise<Int16Array> {
  const last = view.pieces[view.pieces.length - 1];
  const first = view.pieces[0];
  const begin = first?.offset ?? 0;
  const bytes = new Int16Array(last === undefined ? 0 : last.offset + last.count - begin);
  let at = begin;
  for (const piece of view.pieces) {
    assert.equal(piece.offset, at, 'pieces leave no gap');
    if (piece.kind === 'data') {
      const slices = await piece.data;
      assert.ok(slices !== undefined, 'data verify');
      const whole = Buffer.concat(slices);
      assert.equal(whole.length, piece.count);
      bytes.set(whole, at - begin);
    } else {
      bytes.fill(piece.kind === 'base' ? base : zero, at - begin, at - begin + piece.count);
    }
    at += piece.count;
  }
  view.release();
  return bytes;
}

/** Undefined: the log is as the model says; else what is not. */
export async function difference(
  log: DirtyLogFace,
  steps: readonly Step[],
  count: number,
): Promise<string | undefined> {
  const model = modelOf(steps, count);
  const epochs = log.epochs();
  const sealed = epochs.filter((epoch) => epoch.sealedMs !== undefined).length;
  if (sealed !== model.sealed) return `${sealed} sealed epochs, not ${model.sealed}`;
  if (epochs.length > sealed !== model.isOpen) return 'the open epoch';
  for (const file of [1, 2, 3]) {
    const state = log.state(log.file(`file ${file}`));
    const wanted = model.files.get(file);
    if ((state === undefined) !== (wanted === undefined))
      return `file ${file} is ${state === undefined ? 'clean' : 'dirty'}`;
    if (state === undefined || wanted === undefined) continue;
    if (state.size !== wanted.size) return `size of ${file}: ${state.size}, not ${wanted.size}`;
    const bytes = await shown(log.read(log.file(`file ${file}`), 0, wanted.size));
    for (let at = 0; at < wanted.size; at++) {
      if (bytes[at] !== wanted.bytes[at]) return `byte ${at} of ${file}: ${bytes[at]}, not ${wanted.bytes[at]}`;
    }
    const dirtyBytes = wanted.bytes.reduce((sum, byte) => sum + (byte >= 0 ? 1 : 0), 0);
    if (dirtyBytes !== state.dirtyBytes) return `dirty bytes of ${file}: ${state.dirtyBytes}, not ${dirtyBytes}`;
  }
  return undefined;
}

export function openOn(
  directory: LogDirectory,
  clock: Clock,
  seed: number,
  options: {
    keeps?: boolean;
    limitBytes?: number;
    bootId?: string;
    log?: Log;
    onPressure?: () => void;
    segmentBytes?: number;
    identity?: string;
  } = {},
): Promise<DirtyLog> {
  return DirtyLog.open({
    ...{
      directory: directory instanceof SimulatedDisk ? withHoles(directory) : directory,
      clock,
      identity: 'test',
      bootId: 'boot',
      keeps: false,
      log: silentLog,
    },
    ...{ random: seededRandom(seed), limitBytes: 16 * 1024 * 1024, segmentBytes: 256 * 1024, ...options },
  });
}

const pageBytes = 512;

/** The disk tells what was never written, as file systems do. */
function withHoles(disk: SimulatedDisk): LogDirectory {
  return {
    list: () => disk.list(),
    create: (name, bytes) => disk.create(name, bytes),
    open: async (name) => tellingHoles(await disk.open(name), disk.contentOf(name) ?? new Uint8Array(0)),
    remove: (name) => disk.remove(name),
    rename: (from, to) => disk.rename(from, to),
    sync: () => disk.sync(),
    close: () => disk.close(),
  };
}

/** `content`: of the moment when the file is opened. */
export function tellingHoles(file: LogFile, content: Uint8Array): LogFile {
  const isData: boolean[] = [];
  const zeros = Buffer.alloc(pageBytes);
  for (let at = 0; at < content.length; at += pageBytes) {
    const page = content.subarray(at, at + pageBytes);
    isData.push(!zeros.subarray(0, page.length).equals(page));
  }
  return {
    size: file.size,
    write: (position, slices) => file.write(position, slices),
    read: (position, length) => file.read(position, length),
    dataAt(position) {
      const page = isData.indexOf(true, Math.floor(position / pageBytes));
      return page < 0 ? file.size : Math.max(position, page * pageBytes);
    },
    datasync: () => file.datasync(),
    close: () => file.close(),
  };
}

/** Lets simulated time pass until the promise is settled. */
export async function during<T>(clock: SimulatedClock, promise: Promise<T> | T, mostMs = 60_000): Promise<T> {
  if (!(promise instanceof Promise)) return promise;
  let isSettled = false;
  const settled = promise.finally(() => {
    isSettled = true;
  });
  settled.catch(() => {});
  for (let ms = 0; !isSettled && ms < mostMs; ms += 5) await clock.advance(5);
  assert.ok(isSettled, 'an answer comes in time');
  return settled;
}

/** A directory in memory, without time: for tests that change bytes. */
export class MemoryDirectory implements LogDirectory {
  readonly files = new Map<string, Buffer>();
  syncs = 0;

  copy(): MemoryDirectory {
    const copy = new MemoryDirectory();
    for (const [name, bytes] of this.files) copy.files.set(name, Buffer.from(bytes));
    return copy;
  }

  segments(): string[] {
    return [...this.files.keys()].filter((name) => name.startsWith('segment'));
  }

  /** The same names and bytes. */
  equals(other: MemoryDirectory): boolean {
    if (this.files.size !== other.files.size) return false;
    return [...this.files].every(([name, bytes]) => other.files.get(name)?.equals(bytes));
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.files.keys()]);
  }

  create(name: string, bytes: number): Promise<LogFile> {
    assert.ok(!this.files.has(name));
    this.files.set(name, Buffer.alloc(bytes));
    return this.open(name);
  }

  open(name: string): Promise<LogFile> {
    const bytes = this.files.get(name);
    assert.ok(bytes !== undefined);
    return Promise.resolve({
      size: bytes.length,
      write(position, slices) {
        let at = position;
        for (const slice of slices) {
          assert.ok(at + slice.length <= bytes.length, 'a segment does not grow');
          bytes.set(slice, at);
          at += slice.length;
        }
      },
      read: (position, length) => Uint8Array.from(bytes.subarray(position, Math.min(bytes.length, position + length))),
      datasync: () => {
        this.syncs++;
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    });
  }

  remove(name: string): Promise<void> {
    assert.ok(this.files.delete(name));
    return Promise.resolve();
  }

  rename(from: string, to: string): Promise<void> {
    const bytes = this.files.get(from);
    assert.ok(bytes !== undefined && !this.files.has(to));
    this.files.delete(from);
    this.files.set(to, bytes);
    return Promise.resolve();
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
