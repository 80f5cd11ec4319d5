// @ts-check
/**
 * From samples to what is shown: rates and shares of the last moments, for each session and for all of them.
 *
 * @typedef {import('../contract.ts').SessionSample} SessionSample
 *
 * @typedef {object} Figures null: not known at that moment
 * @property {number} timeMs by the clock of whoever looks
 * @property {number | null} hitShare 0 to 1; null also: nothing was read
 * @property {number | null} linkIn bytes a second
 * @property {number | null} linkOut
 * @property {number | null} dirtyBytes
 */

const keptMs = 5 * 60_000;
/** Hits are told of so long: of one second alone they jump. */
const shareMs = 15_000;
const counters = /** @type {const} */ (['hits', 'misses', 'linkInBytes', 'linkOutBytes']);

/**
 * Samples go by the daemon's clock, which begins anew with the daemon; figures by the clock of whoever looks. Rates never reach over a
 * restart of the daemon or of a session.
 */
export class History {
  /** Of the last `shareMs`, answered ones alone. @type {Map<string, SessionSample[]>} */
  #samples = new Map();
  /** @type {Map<string, Figures[]>} */
  #figures = new Map();
  /** Sessions that did not answer the last time. @type {Set<string>} */
  #silent = new Set();
  #atMs = 0;

  /**
   * @param {readonly SessionSample[]} samples of all sessions, later than those before
   * @param {number} timeMs
   */
  add(samples, timeMs) {
    const ids = new Set(samples.map(({ id }) => id));
    for (const id of this.#figures.keys()) if (id !== '' && !ids.has(id)) this.#figures.delete(id);
    for (const id of this.#samples.keys()) if (!ids.has(id)) this.#samples.delete(id);
    const atMs = Math.max(0, ...samples.map((sample) => sample.atMs));
    if (samples.length > 0 && atMs < this.#atMs) this.#samples.clear();
    if (samples.length > 0) this.#atMs = atMs;
    this.#silent.clear();
    for (const sample of samples) this.#addOne(sample, timeMs);
    this.#sum(timeMs, [...ids]);
  }

  /**
   * @param {string} id of a session; '' for all of them
   * @returns {readonly Figures[]} the oldest first
   */
  of(id) {
    return this.#figures.get(id) ?? [];
  }

  /** What it said when it last answered. @param {string} id */
  latest(id) {
    return this.#samples.get(id)?.at(-1);
  }

  /** @param {string} id */
  isSilent(id) {
    return this.#silent.has(id);
  }

  /** @param {SessionSample} sample @param {number} timeMs */
  #addOne(sample, timeMs) {
    const { id, atMs } = sample;
    if (!sample.isAnswering) {
      this.#silent.add(id);
      this.#push(id, { timeMs, hitShare: null, linkIn: null, linkOut: null, dirtyBytes: null });
      return;
    }
    const known = listOf(this.#samples, id);
    const last = known.at(-1);
    // Of one that began anew, what was before says nothing.
    if (last !== undefined && counters.some((key) => sample[key] < last[key])) known.length = 0;
    const previous = known.at(-1);
    if (previous !== undefined && previous.atMs >= atMs) return;
    known.push(sample);
    while (known.length > 2 && (known[0]?.atMs ?? 0) < atMs - shareMs) known.shift();
    /** @param {'linkInBytes' | 'linkOutBytes'} key */
    const rate = (key) =>
      previous === undefined ? null : (1000 * (sample[key] - previous[key])) / (atMs - previous.atMs);
    const { hits, reads } = readsOf(known);
    this.#push(id, {
      timeMs,
      hitShare: reads === 0 ? null : hits / reads,
      linkIn: rate('linkInBytes'),
      linkOut: rate('linkOutBytes'),
      dirtyBytes: sample.dirtyBytes,
    });
  }

  /**
   * @param {number} timeMs
   * @param {readonly string[]} ids
   */
  #sum(timeMs, ids) {
    let [hits, reads, linkIn, linkOut, dirtyBytes] = [0, 0, 0, 0, 0];
    for (const id of ids) {
      const figures = this.#figures.get(id)?.at(-1);
      if (figures === undefined || this.#silent.has(id)) continue;
      const read = readsOf(this.#samples.get(id) ?? []);
      hits += read.hits;
      reads += read.reads;
      linkIn += figures.linkIn ?? 0;
      linkOut += figures.linkOut ?? 0;
      dirtyBytes += figures.dirtyBytes ?? 0;
    }
    this.#push('', { timeMs, hitShare: reads === 0 ? null : hits / reads, linkIn, linkOut, dirtyBytes });
  }

  /**
   * @param {string} id
   * @param {Figures} figures
   */
  #push(id, figures) {
    const list = listOf(this.#figures, id);
    list.push(figures);
    while ((list[0]?.timeMs ?? 0) < figures.timeMs - keptMs) list.shift();
  }
}

/** Between the first and the last. @param {readonly SessionSample[]} samples */
function readsOf(samples) {
  const [first, last] = [samples.at(0), samples.at(-1)];
  if (first === undefined || last === undefined) return { hits: 0, reads: 0 };
  const hits = last.hits - first.hits;
  return { hits, reads: hits + last.misses - first.misses };
}

/**
 * @template T
 * @param {Map<string, T[]>} map
 * @param {string} key
 * @returns {T[]}
 */
function listOf(map, key) {
  let list = map.get(key);
  if (list === undefined) map.set(key, (list = []));
  return list;
}

/** @param {number | null | undefined} bytes a second */
export function rateText(bytes) {
  return bytes === null || bytes === undefined ? '–' : `${sizeText(bytes)}/s`;
}

/** @param {number} bytes */
export function sizeText(bytes) {
  let value = bytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) {
    // What would be rounded to 1024 has the next unit.
    if (value < 1023.5 || unit === 'TiB')
      return `${value < 9.95 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1024;
  }
  return '';
}

/** @param {number} ms */
export function durationText(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {number | null | undefined} share */
export function shareText(share) {
  return share === null || share === undefined ? '–' : `${Math.round(100 * share)} %`;
}
