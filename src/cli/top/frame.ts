/**
 * What `viaduct top` shows: rates from two looks at the counters, and lines of text from that. Nothing here knows a terminal.
 *
 *     look, look ──ratesOf──► rows ──sorted──► frame ──► lines, at most as wide and as many as there is room
 */
import { formatDuration, formatSize } from '../../base/mod.ts';
import type { SessionSample, SessionView, ThreadReport } from '../../daemon/mod.ts';
import { printable } from '../printable.ts';
import { hitText, tableOf } from '../session-text.ts';

export interface Look {
  readonly daemon: number;
  readonly views: readonly SessionView[];
  readonly samples: readonly SessionSample[];
  readonly threads: readonly ThreadReport[];
}

export interface Row {
  readonly name: string;
  readonly state: string;
  readonly policy: string;
  readonly isAnswering: boolean;
  /** Of the reads since the look before; undefined: there were none. */
  readonly hitShare: number | undefined;
  /** Bytes a second: to and from clients, and on the link. */
  readonly readRate: number;
  readonly writeRate: number;
  readonly inRate: number;
  readonly outRate: number;
  readonly dirtyBytes: number;
  readonly dirtyAgeMs: number;
  readonly conflicts: number;
  readonly originAwayMs: number;
  readonly calls: number;
}

/** By the key that is pressed. */
export const orders = {
  n: 'name',
  h: 'hits',
  r: 'read',
  w: 'written',
  i: 'in',
  o: 'out',
  d: 'dirty',
  s: 'state',
} as const;
export type Order = (typeof orders)[keyof typeof orders];

export function ratesOf(before: Look | undefined, now: Look): Row[] {
  return now.samples.map((sample) => {
    const view = now.views.find(({ id }) => id === sample.id);
    const earlier = before?.samples.find(({ id, isAnswering }) => id === sample.id && isAnswering);
    const seconds = earlier === undefined ? 0 : (sample.atMs - earlier.atMs) / 1000;
    // A session that was opened again counts from the start.
    const grown = (key: 'hits' | 'misses' | 'readBytes' | 'writtenBytes' | 'linkInBytes' | 'linkOutBytes'): number =>
      earlier === undefined || !sample.isAnswering ? 0 : Math.max(0, sample[key] - earlier[key]);
    const rate = (bytes: number): number => (seconds > 0 ? bytes / seconds : 0);
    const reads = grown('hits') + grown('misses');
    return {
      ...{ name: sample.name, state: view?.state ?? sample.state, policy: view?.policy ?? '' },
      ...{ isAnswering: sample.isAnswering, hitShare: reads === 0 ? undefined : grown('hits') / reads },
      ...{ readRate: rate(grown('readBytes')), writeRate: rate(grown('writtenBytes')) },
      ...{ inRate: rate(grown('linkInBytes')), outRate: rate(grown('linkOutBytes')) },
      ...{ dirtyBytes: sample.dirtyBytes, dirtyAgeMs: sample.dirtyAgeMs, conflicts: sample.conflicts },
      ...{ originAwayMs: sample.originAwayMs, calls: sample.callsInFlight },
    };
  });
}

/** The largest first, but names and states from a to z. */
export function sorted(rows: readonly Row[], order: Order): Row[] {
  const number: Partial<Record<Order, (row: Row) => number>> = {
    hits: (row) => row.hitShare ?? -1,
    read: (row) => row.readRate,
    written: (row) => row.writeRate,
    in: (row) => row.inRate,
    out: (row) => row.outRate,
    dirty: (row) => row.dirtyBytes,
  };
  const of = number[order];
  return rows.toSorted((a, b) => {
    const first = of === undefined ? 0 : of(b) - of(a);
    if (first !== 0) return first;
    if (order === 'state' && a.state !== b.state) return a.state < b.state ? -1 : 1;
    return a.name < b.name ? -1 : 1;
  });
}

export interface FrameOptions {
  readonly order: Order;
  /** Undefined: as many and as wide as they come. */
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

/** The table's head is the line at `head`. */
export function frameOf(
  look: Look,
  rows: readonly Row[],
  { order, columns, rows: height }: FrameOptions,
): { readonly lines: string[]; readonly head: number } {
  const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const top = [
    `viaduct daemon ${look.daemon}: ${rows.length} ${rows.length === 1 ? 'session' : 'sessions'}, link in ${perSecond(sum((row) => row.inRate))}, out ${perSecond(sum((row) => row.outRate))}, not at the origin ${formatSize(sum((row) => row.dirtyBytes))}`,
    ...look.threads.map(threadText),
    '',
  ];
  const table = tableOf(
    ['NAME', 'STATE', 'HITS', 'READ', 'WRITTEN', 'IN', 'OUT', 'DIRTY', 'OLDEST', 'POLICY'],
    sorted(rows, order).map(cellsOf),
    [2, 3, 4, 5, 6, 7, 8],
  );
  const room = height === undefined ? table.length : Math.max(2, height - top.length - 1);
  const hidden = table.length - room;
  const shown = hidden > 0 ? [...table.slice(0, room - 1), `... and ${hidden + 1} more`] : table;
  const lines = [...top, ...shown].map((line) => (columns === undefined ? line : [...line].slice(0, columns).join('')));
  return { lines, head: top.length };
}

function cellsOf(row: Row): string[] {
  const { name, state, policy, isAnswering, hitShare, dirtyBytes, dirtyAgeMs, conflicts, originAwayMs } = row;
  const hits =
    hitShare === undefined
      ? '-'
      : hitText({ hits: Math.round(hitShare * 10_000), misses: Math.round((1 - hitShare) * 10_000) });
  const notes = [
    ...(isAnswering ? [] : ['no answer']),
    ...(originAwayMs > 0 ? [`origin away ${formatDuration(originAwayMs)}`] : []),
    ...(conflicts > 0 ? [`${conflicts} in conflict`] : []),
  ];
  return [
    ...[name, [state, ...notes].join(', '), hits, perSecond(row.readRate), perSecond(row.writeRate)],
    ...[perSecond(row.inRate), perSecond(row.outRate), formatSize(dirtyBytes)],
    ...[dirtyBytes === 0 ? '-' : formatDuration(dirtyAgeMs), policy],
  ];
}

function perSecond(bytes: number): string {
  return `${formatSize(Math.round(bytes))}/s`;
}

function threadText({ name, sessions, restarts, utilization, eventLoopDelayMs }: ThreadReport): string {
  const busy = utilization === undefined ? 'it does not answer' : `${Math.round(100 * utilization)} % busy`;
  const delay = eventLoopDelayMs === undefined ? '' : `, late by ${eventLoopDelayMs.p99.toFixed(1)} ms (p99)`;
  const again = restarts === 0 ? '' : `, restarted ${restarts} times`;
  return printable(`thread ${name}: ${sessions} sessions, ${busy}${delay}${again}`);
}
