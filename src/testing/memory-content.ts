/**
 * The bytes of one file in memory: sparse, and with what a crash would leave of it.
 *
 * Invariants: a page is never changed once it is in a map (a write replaces it), so slices given to readers stay what they
 * were; a page may be shorter than `pageBytes`, and what is missing reads as zeros; `stable` exists only while
 * it differs from `current`.
 *
 *     current  [page 0][ hole ][page 2 ..]      what calls see
 *     stable   [page 0]                         what `revert` goes back to (before the first unstable write)
 */
import type { Payload } from '../vfs/mod.ts';

const pageBytes = 64 * 1024;
const zeros = Buffer.alloc(pageBytes);

interface State {
  readonly pages: Map<number, Uint8Array>;
  size: number;
  used: number;
}

export class MemoryContent {
  #current: State = { pages: new Map(), size: 0, used: 0 };
  #stable: State | undefined;
  /** Since `stable` was taken, oldest first, those that are stable too; a change of size cuts them. */
  #since: { readonly offset: number; readonly data: Uint8Array; readonly unstable: boolean }[] = [];

  get size(): number {
    return this.#current.size;
  }

  /** Bytes of the pages that exist. */
  get used(): number {
    return this.#current.used;
  }

  /** Views of at most `count` bytes from `offset`, as many as there are. */
  read(offset: number, count: number): Uint8Array[] {
    return readFrom(this.#current, offset, count);
  }

  /** By how much `used` would grow. */
  growth(offset: number, count: number): number {
    let growth = 0;
    for (let position = offset; position < offset + count; ) {
      const index = Math.floor(position / pageBytes);
      const to = Math.min(pageBytes, offset + count - index * pageBytes);
      growth += Math.max(0, to - (this.#current.pages.get(index)?.length ?? 0));
      position = index * pageBytes + to;
    }
    return growth;
  }

  write(offset: number, data: Payload, unstable: boolean): void {
    if (unstable) this.#stable ??= copyOf(this.#current);
    else if (this.#stable !== undefined) writeInto(this.#stable, offset, data);
    if (this.#stable !== undefined) this.#since.push({ offset, data: Buffer.concat(data), unstable });
    writeInto(this.#current, offset, data);
  }

  /** What `revert` would leave if it lost all it may: bytes from `offset`, fewer at the end. */
  readStable(offset: number, count: number): Uint8Array[] {
    return readFrom(this.#stable ?? this.#current, offset, count);
  }

  get stableSize(): number {
    return (this.#stable ?? this.#current).size;
  }

  /** Changing the size is always stable. */
  resize(size: number): void {
    resizeState(this.#current, size);
    if (this.#stable === undefined) return;
    resizeState(this.#stable, size);
    this.#since = this.#since
      .filter(({ offset }) => offset < size)
      .map(({ offset, data, unstable }) => ({ offset, data: data.subarray(0, size - offset), unstable }));
  }

  commit(): void {
    this.#stable = undefined;
    this.#since = [];
  }

  /** What a crash does; of the unstable writes those stay for which `keeps` says so. Answers whether there were any. */
  revert(keeps: () => boolean): boolean {
    if (this.#stable === undefined) return false;
    this.#current = this.#stable;
    this.#stable = undefined;
    const since = this.#since;
    this.#since = [];
    for (const { offset, data, unstable } of since) {
      if (!unstable || keeps()) writeInto(this.#current, offset, [data]);
    }
    return true;
  }
}

function readFrom({ pages, size }: State, offset: number, count: number): Uint8Array[] {
  const slices: Uint8Array[] = [];
  const end = Math.min(size, offset + count);
  let position = offset;
  while (position < end) {
    const index = Math.floor(position / pageBytes);
    const from = position - index * pageBytes;
    const to = Math.min(pageBytes, end - index * pageBytes);
    const page = pages.get(index);
    const present = page === undefined ? from : Math.max(from, Math.min(to, page.length));
    if (page !== undefined && present > from) slices.push(page.subarray(from, present));
    if (to > present) slices.push(zeros.subarray(0, to - present));
    position = index * pageBytes + to;
  }
  return slices;
}

function copyOf(state: State): State {
  return { pages: new Map(state.pages), size: state.size, used: state.used };
}

function replacePage(state: State, index: number, page: Uint8Array): void {
  state.used += page.length - (state.pages.get(index)?.length ?? 0);
  state.pages.set(index, page);
}

function writeInto(state: State, offset: number, data: Payload): void {
  let position = offset;
  for (const slice of data) {
    for (let done = 0; done < slice.length; ) {
      const index = Math.floor(position / pageBytes);
      const within = position - index * pageBytes;
      const step = Math.min(pageBytes - within, slice.length - done);
      const old = state.pages.get(index);
      const page = new Uint8Array(Math.max(old?.length ?? 0, within + step));
      if (old !== undefined) page.set(old);
      page.set(slice.subarray(done, done + step), within);
      replacePage(state, index, page);
      done += step;
      position += step;
    }
  }
  state.size = Math.max(state.size, position);
}

function resizeState(state: State, size: number): void {
  if (size < state.size) {
    const boundary = Math.floor(size / pageBytes);
    for (const [index, page] of state.pages) {
      if (index > boundary || (index === boundary && size === boundary * pageBytes)) {
        state.used -= page.length;
        state.pages.delete(index);
      } else if (index === boundary && page.length > size - boundary * pageBytes) {
        replacePage(state, index, page.slice(0, size - boundary * pageBytes));
      }
    }
  }
  state.size = size;
}
