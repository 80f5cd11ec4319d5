// @ts-check
/** The three plots: hits, link and what is not at the origin, of one session or of all. */
// @ts-expect-error: served beside this file; its types are those of the package.
import UPlot from './uPlot.esm.js';
import { sizeText } from './figures.js';

/** @typedef {import('./figures.js').Figures} Figures */

const height = 170;
/** Ticks at whole units. */
const byteSteps = Array.from({ length: 45 }, (_, power) => 2 ** power);

export class Plots {
  /** @type {{plot: any, holder: HTMLElement, columns: ((figures: Figures) => number | null)[]}[]} */
  #plots;

  constructor() {
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
    new ResizeObserver(() => this.#fit()).observe(/** @type {Element} */ (document.getElementById('plots')));
  }

  /** @param {readonly Figures[]} figures */
  show(figures) {
    const now = Date.now() / 1000;
    const last = figures.at(-1)?.atMs ?? 0;
    const times = figures.map(({ atMs }) => now - (last - atMs) / 1000);
    for (const { plot, columns } of this.#plots)
      plot.setData([times, ...columns.map((column) => figures.map((point) => column(point)))]);
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
  const fromZero = (_plot, _low, high) => [0, Math.max(high, 1)];
  const plot = new UPlot(
    {
      width: holder.clientWidth || 320,
      height,
      cursor: { y: false },
      scales: { y: { range: range ?? fromZero } },
      axes: [
        axis,
        {
          ...axis,
          size: 70,
          ...(range === undefined ? { incrs: byteSteps } : {}),
          values: (/** @type {unknown} */ _plot, /** @type {number[]} */ at) => at.map(text),
        },
      ],
      series: [
        {},
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
