/**
 * A strict reader of the Prometheus text format 0.0.4, for tests: each family has its help and its type once, before its samples, all of
 * which stand together; names, labels and values are well-formed; no series comes twice; histograms are cumulative and complete.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly series: Series[];
}

const nameOf = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export function parseExposition(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  const families = new Map<string, Family>();
  const helps = new Map<string, string>();
  const seen = new Set<string>();
  let current: Family | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue;
    const help = /^# HELP (\S+) (.+)$/.exec(line);
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (help !== null) {
      assert.match(help[1]!, nameOf);
      assert.ok(!helps.has(help[1]!), `help of ${help[1]} twice`);
      helps.set(help[1]!, help[2]!);
    } else if (type !== null) {
      const name = type[1]!;
      assert.ok(helps.has(name) && !families.has(name), `type of ${name} out of place`);
      current = { name, type: type[2]!, help: helps.get(name)!, series: [] };
      families.set(name, current);
    } else {
      const series = parseSeries(line);
      assert.ok(current !== undefined && familyName(series, current) === current.name, `out of place: ${line}`);
      const key = `${series.name} ${JSON.stringify(Object.entries(series.labels).sort())}`;
      assert.ok(!seen.has(key), `twice: ${line}`);
      seen.add(key);
      if (current.type !== 'gauge') assert.ok(series.value >= 0, line);
      current.series.push(series);
    }
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return families;
}

function familyName({ name }: Series, { type }: Family): string {
  return type === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name;
}

function parseSeries(line: string): Series {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  assert.ok(match !== null, `no sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = match[2] ?? '';
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)/.exec(rest);
    assert.ok(label !== null, `no label: ${rest} in ${line}`);
    assert.ok(!(label[1]! in labels), `label twice: ${line}`);
    labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_all, escaped) => (escaped === 'n' ? '\n' : escaped));
    rest = rest.slice(label[0].length);
  }
  const value = match[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(match[3]);
  assert.ok(!Number.isNaN(value), `no value: ${line}`);
  return { name: match[1]!, labels, value };
}

function checkHistogram({ name, series }: Family): void {
  const groups = new Map<string, Series[]>();
  for (const one of series) {
    const { le: _le, ...labels } = one.labels;
    const key = JSON.stringify(labels);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((one) => one.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => (labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)));
    for (let i = 1; i < buckets.length; i++) {
      assert.ok(bounds[i]! > bounds[i - 1]!, `bounds of ${key} grow`);
      assert.ok(buckets[i]!.value >= buckets[i - 1]!.value, `buckets of ${key} are cumulative`);
    }
    assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY);
    assert.equal(group.find((one) => one.name === `${name}_count`)?.value, buckets.at(-1)?.value);
    assert.equal(group.filter((one) => one.name === `${name}_sum`).length, 1);
  }
}

test('the reader of the format refuses what Prometheus refuses', () => {
  const head = '# HELP a b\n# TYPE a counter\n';
  assert.equal(parseExposition(`${head}a{x="1\\"\\n"} 2\n`).get('a')!.series[0]!.labels.x, '1"\n');
  const wrong = [
    'a 1',
    '# TYPE a counter\na 1\n',
    `${head}a -1\n`,
    `${head}a x\n`,
    `${head}a 1\na 1\n`,
    `${head}b 1\n`,
  ];
  for (const text of [...wrong, `${head}a{x=1} 1\n`, `${head}a{x="1",} 1\n`, `${head}${head}`, `${head}a{x="\n"} 1\n`])
    assert.throws(() => parseExposition(text), text);
});
