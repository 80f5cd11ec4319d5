// @ts-check
/**
 * From samples to what is shown: rates and shares of the last moments, for each session and for all of them.
 *
 * @typedef {import('../contract.ts').SessionSample} SessionSample
 *
 * @typedef {object} Figures
 * @property {number} atMs
 * @property {number | null} hitShare 0 to 1; null: nothing was read
 * @property {number} linkIn bytes a second
 * @property {number} linkOut
 * @property {number} dirtyBytes
 */

const keptMs = 5 * 60_000;
/** Hits are told of so long: of one second alone they jump. */
const shareMs = 15_000;

export class History {
  /** @type {Map<string, SessionSample[]>} */
  #samples = new Map();
  /** @type {Map<string, Figures[]>} */
  #figures = new Map();

  /** @param {readonly SessionSample[]} samples of all sessions, of one moment */
  add(samples) {
    const ids = new Set(samples.map(({ id }) => id));
    for (const id of this.#samples.keys()) {
      if (ids.has(id)) continue;
      this.#samples.delete(id);
      this.#figures.delete(id);
    }
    const atMs = samples[0]?.atMs;
    for (const sample of samples) this.#addOne(sample);
    if (atMs !== undefined) this.#sum(atMs, [...ids]);
  }

  /**
   * @param {string} id of a session; '' for all of them
   * @returns {readonly Figures[]} the oldest first
   */
  of(id) {
    return this.#figures.get(id) ?? [];
  }

  /** @param {string} id */
  latest(id) {
    return this.#samples.get(id)?.at(-1);
  }

  /** @param {SessionSample} sample */
  #addOne(sample) {
    const before = listOf(this.#samples, sample.id);
    const last = before.at(-1);
    // A worker that does not answer, and one that began anew, say nothing of what was.
    if (!sample.isAnswering) return;
    if (last !== undefined && last.readBytes + last.hits > sample.readBytes + sample.hits) before.length = 0;
    const previous = before.at(-1);
    if (previous !== undefined && previous.atMs >= sample.atMs) return;
    before.push(sample);
    while (before.length > 2 && (before[0]?.atMs ?? 0) < sample.atMs - shareMs) before.shift();
    const oldest = before[0] ?? sample;
    const hits = sample.hits - oldest.hits;
    const reads = hits + sample.misses - oldest.misses;
    const seconds = previous === undefined ? 0 : (sample.atMs - previous.atMs) / 1000;
    /** @param {'linkInBytes' | 'linkOutBytes'} key */
    const rate = (key) => (previous === undefined ? 0 : Math.max(0, (sample[key] - previous[key]) / seconds));
    this.#push(sample.id, {
      atMs: sample.atMs,
      hitShare: reads === 0 ? null : hits / reads,
      linkIn: rate('linkInBytes'),
      linkOut: rate('linkOutBytes'),
      dirtyBytes: sample.dirtyBytes,
    });
  }

  /**
   * @param {number} atMs
   * @param {readonly string[]} ids
   */
  #sum(atMs, ids) {
    let [hits, reads, linkIn, linkOut, dirtyBytes] = [0, 0, 0, 0, 0];
    for (const id of ids) {
      const samples = this.#samples.get(id);
      const figures = this.#figures.get(id)?.at(-1);
      const [first, last] = [samples?.at(0), samples?.at(-1)];
      if (first === undefined || last === undefined || figures === undefined) continue;
      hits += last.hits - first.hits;
      reads += last.hits - first.hits + last.misses - first.misses;
      linkIn += figures.linkIn;
      linkOut += figures.linkOut;
      dirtyBytes += figures.dirtyBytes;
    }
    this.#push('', { atMs, hitShare: reads === 0 ? null : hits / reads, linkIn, linkOut, dirtyBytes });
  }

  /**
   * @param {string} id
   * @param {Figures} figures
   */
  #push(id, figures) {
    const list = listOf(this.#figures, id);
    list.push(figures);
    while ((list[0]?.atMs ?? 0) < figures.atMs - keptMs) list.shift();
  }
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

/** @param {number} bytes */
export function sizeText(bytes) {
  let value = bytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024 || unit === 'TiB')
      return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`;
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
