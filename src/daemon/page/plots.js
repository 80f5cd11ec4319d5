// @ts-check
/** The three plots: hits, link and what is not at the origin, of one session or of all. */

import { sizeText } from './figures.js';
// @ts-expect-error: served beside this file, from the package.
import UPlot from './uPlot.esm.js';

/** @typedef {import('./figures.js').Figures} Figures */

const height = 170;
/** Ticks at whole units. */
const byteSteps = Array.from({ length: 45 }, (_, power) => 2 ** power);

/** @typedef {{plot: any, holder: HTMLElement, columns: ((figures: Figures) => number | null)[]}} Plot */

export class Plots {
  /** @type {Plot[]} */
  #plots = [];
  /** @type {readonly Figures[]} */
  #figures = [];

  constructor() {
    this.#draw();
    new ResizeObserver(() => this.#fit()).observe(/** @type {Element} */ (document.getElementById('plots')));
    // The canvas does not follow the colours of the page.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  /** @param {readonly Figures[]} figures */
  show(figures) {
    this.#figures = figures;
    const times = figures.map(({ timeMs }) => timeMs / 1000);
    for (const { plot, columns } of this.#plots) {
      plot.setData([times, ...columns.map((column) => figures.map((point) => column(point)))]);
      // Where nobody points, the legend tells of now.
      if (plot.cursor.left < 0 && times.length > 0) plot.setLegend({ idx: times.length - 1 });
    }
  }

  #draw() {
    for (const { plot } of this.#plots) plot.destroy();
    const percent = (/** @type {number} */ value) => `${Math.round(value)} %`;
    this.#plots = [
      make('plot-hits', { range: [0, 100], text: percent }, [
        ['hits', '--good', ({ hitShare }) => (hitShare === null ? null : 100 * hitShare)],
      ]),
      make('plot-link', { text: sizeText }, [
        ['from origin', '--accent', ({ linkIn }) => linkIn],
        ['to origin', '--waiting', ({ linkOut }) => linkOut],
      ]),
      make('plot-dirty', { text: sizeText }, [['not at the origin', '--bad', ({ dirtyBytes }) => dirtyBytes]]),
    ];
    this.show(this.#figures);
  }

  #fit() {
    for (const { plot, holder } of this.#plots) plot.setSize({ width: holder.clientWidth, height });
  }
}

/**
 * @param {string} id
 * @param {{range?: [number, number], text: (value: number) => string}} axis
 * @param {[label: string, color: string, column: (figures: Figures) => number | null][]} series
 */
function make(id, { range, text }, series) {
  const holder = /** @type {HTMLElement} */ (document.getElementById(id));
  // The canvas knows no custom properties.
  const color = (/** @type {string} */ name) => {
    const probe = document.createElement('span');
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const axis = { stroke: color('--faint'), grid: { stroke: color('--line') }, ticks: { stroke: color('--line') } };
  /** @param {unknown} _plot @param {number} _low @param {number} high */
  const fromZero = (_plot, _low, high) => [0, Math.max(1.05 * high, 1024)];
  /** @param {unknown} _plot @param {number} first @param {number} last */
  const atLeastOneMinute = (_plot, first, last) => [Math.min(first, last - 60), last];
  const plot = new UPlot(
    {
      width: holder.clientWidth || 320,
      height,
      cursor: { y: false },
      scales: { x: { range: atLeastOneMinute }, y: { range: range ?? fromZero } },
      axes: [
        {
          ...axis,
          space: 80,
          values: (/** @type {unknown} */ _plot, /** @type {number[]} */ at) => at.map(timeText),
        },
        {
          ...axis,
          size: 70,
          ...(range === undefined ? { incrs: byteSteps } : {}),
          values: (/** @type {unknown} */ _plot, /** @type {number[]} */ at) => at.map(text),
        },
      ],
      series: [
        {
          label: 'at',
          value: (/** @type {unknown} */ _plot, /** @type {number | null} */ at) => (at === null ? '–' : timeText(at)),
        },
        ...series.map(([label, name]) => ({
          label,
          stroke: color(name),
          width: 1.5,
          value: (/** @type {unknown} */ _plot, /** @type {number | null} */ value) =>
            value === null ? '–' : text(value),
        })),
      ],
    },
    [[], ...series.map(() => [])],
    holder,
  );
  return { plot, holder, columns: series.map(([, , column]) => column) };
}

/** @param {number} seconds since 1970 */
function timeText(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString('en-GB');
}
