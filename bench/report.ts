/**
 * Makes bench/results/README.md and bench/results/ratios.svg from the newest raw result of each case.
 *
 *   node bench/report.ts
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CaseResult, type Figure, median, pairRatios } from './case.ts';

export async function writeReport(folder: string): Promise<void> {
  const results = await newestResults(folder);
  await writeFile(join(folder, 'README.md'), markdown(results));
  await writeFile(join(folder, 'ratios.svg'), plot(results));
}

/** The last result of each case; names begin with the date, so their order is time's. */
async function newestResults(folder: string): Promise<CaseResult[]> {
  const newest = new Map<string, CaseResult>();
  for (const name of (await readdir(folder)).filter((entry) => entry.endsWith('.json')).toSorted()) {
    const result = JSON.parse(await readFile(join(folder, name), 'utf8')) as CaseResult;
    newest.set(result.case, result);
  }
  return [...newest.values()].toSorted((a, b) => a.case.localeCompare(b.case));
}

export function markdown(results: readonly CaseResult[]): string {
  const parts = [
    '# Bench results',
    'Made by `npm run bench` from the raw results in this folder. Each figure is the median of interleaved pairs; the ratio is ' +
      'the median of the ratios of the pairs (the machine is shared, and its speed drifts), its spread theirs.',
    '![Ratios to the baselines](ratios.svg)',
  ];
  for (const result of results) {
    const machine = Object.entries(result.machine).map(([name, value]) => `${name} ${value}`);
    parts.push(`## ${result.title}`, `${result.date}; ${machine.join(', ')}`);
    const header = '| figure | Viaduct | baseline | ratio | spread | pairs | asked | |';
    const rows = result.figures.map((figure) => `| ${row(figure).join(' | ')} |`);
    parts.push([header, '|---|---:|---:|---:|---:|---:|---:|---|', ...rows].join('\n'));
  }
  return `${parts.join('\n\n')}\n`;
}

function row(figure: Figure): string[] {
  const { unit, target } = figure;
  const ratios = pairRatios(figure);
  const spread = `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`;
  const sign = figure.better === 'higher' ? '≥' : '≤';
  const asked = target === undefined ? '' : `${sign} ${target.value}${target.of === 'ratio' ? 'x' : ` ${unit}`}`;
  return [
    figure.name,
    `${short(median(figure.subject))} ${unit}`,
    `${short(median(figure.baseline))} ${unit} (${figure.baselineName})`,
    `${ratio(figure).toFixed(2)}x`,
    spread,
    String(figure.subject.length),
    asked,
    verdict(figure),
  ];
}

export function verdict(figure: Figure): string {
  if (figure.target === undefined) return '';
  const value = figure.target.of === 'ratio' ? ratio(figure) : median(figure.subject);
  const met = figure.better === 'higher' ? value >= figure.target.value : value <= figure.target.value;
  return met ? 'met' : '**missed**';
}

const ratio = (figure: Figure): number => median(pairRatios(figure));
const short = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);

const rowHeight = 26;
const labelWidth = 300;
const barWidth = 420;

/** Horizontal bars of the ratios; a tick where the ratio is asked to be, thin lines for the pairs' spread. */
export function plot(results: readonly CaseResult[]): string {
  const figures = results.flatMap((result) => result.figures.filter((figure) => figure.unit !== 'MB'));
  const largest = Math.max(1.5, ...figures.map(ratio));
  const x = (value: number): string => (labelWidth + (Math.min(value, largest) / largest) * barWidth).toFixed(1);
  const height = rowHeight * (figures.length + 2);
  const bars = figures.map((figure, index) => {
    const top = rowHeight * (index + 1);
    const ratios = pairRatios(figure);
    const middle = top + 9;
    const colour = verdict(figure).includes('missed') ? '#c2503c' : figure.target === undefined ? '#8a8f98' : '#3a7d5d';
    const asked =
      figure.target?.of === 'ratio'
        ? `<path d="M${x(figure.target.value)} ${top - 2}v22" stroke="#222" stroke-width="2"/>`
        : '';
    return (
      `<text x="${labelWidth - 8}" y="${top + 14}" text-anchor="end">${escapeText(figure.name)}</text>` +
      `<rect x="${labelWidth}" y="${top}" width="${(Number(x(ratio(figure))) - labelWidth).toFixed(1)}" height="18" fill="${colour}"/>` +
      `<path d="M${x(Math.min(...ratios))} ${middle}H${x(Math.max(...ratios))}" stroke="#fff" stroke-width="1.5"/>` +
      asked +
      `<text x="${Number(x(ratio(figure))) + 6}" y="${top + 14}">${ratio(figure).toFixed(2)}x ${figure.better === 'lower' ? '(lower is better)' : ''}</text>`
    );
  });
  const one = `<path d="M${x(1)} ${rowHeight - 8}V${height - rowHeight + 4}" stroke="#999" stroke-dasharray="3 3"/>`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${labelWidth + barWidth + 160}" height="${height}" ` +
    `font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="${labelWidth}" y="14">ratio to the baseline (dashed: equal; black tick: asked)</text>\n` +
    `${bars.join('\n')}\n${one}</svg>\n`
  );
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

if (import.meta.main) await writeReport(join(import.meta.dirname, 'results'));
