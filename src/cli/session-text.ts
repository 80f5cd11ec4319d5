/** What `viaduct session` says to people: a table of sessions, and all about one. */
import { counted, formatDuration, formatSize, nearestText, ViaductError } from '../base/mod.ts';
import type { CloseResult, SessionSample, SessionView } from '../daemon/mod.ts';
import type { ShownSession } from './daemon-port.ts';
import { printable } from './printable.ts';
import { describeLeft } from './session-end.ts';

/** Columns as wide as what is in them; the last is not padded. */
export function tableOf(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const all = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => (right.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

export function sessionTable(views: readonly SessionView[], samples: readonly SessionSample[]): string[] {
  const rows = views.map((view) => {
    const sample = samples.find(({ id, isAnswering }) => id === view.id && isAnswering);
    const dirty = sample === undefined ? '?' : formatSize(sample.dirtyBytes);
    return [view.name, stateText(view, sample), view.url ?? '-', view.policy, dirty, hitText(sample), view.origin];
  });
  return tableOf(['NAME', 'STATE', 'URL', 'POLICY', 'DIRTY', 'HITS', 'ORIGIN'], rows, [4, 5]);
}

/** With what is wrong though it runs. */
function stateText(
  { state, isTemporary }: Pick<SessionView, 'state' | 'isTemporary'>,
  sample: Pick<SessionSample, 'originAwayMs' | 'conflicts'> | undefined,
): string {
  const { originAwayMs, conflicts } = sample ?? { originAwayMs: 0, conflicts: 0 };
  return [
    state,
    ...(isTemporary ? ['temporary'] : []),
    ...(originAwayMs > 0 ? [`origin away ${formatDuration(originAwayMs)}`] : []),
    ...(conflicts > 0 ? [`${conflicts} in conflict`] : []),
  ].join(', ');
}

/** Of all READs that the cache was asked for. */
export function hitText(sample: Pick<SessionSample, 'hits' | 'misses'> | undefined): string {
  const asked = sample === undefined ? 0 : sample.hits + sample.misses;
  return asked === 0 ? '-' : `${Math.floor((100 * sample!.hits) / asked)} %`;
}

export function sessionText(detail: ShownSession, nowMs: number, sample?: SessionSample): string[] {
  const { name, id, kind, origin, policy, rule, url, qemu, createdAt, restarts, lastError, settings, status } = detail;
  const age = formatDuration(Math.max(0, nowMs - Date.parse(createdAt)));
  const chosen = rule === undefined ? '' : `, by rule "${rule}"`;
  // One that has a name is told with what it stands for.
  const isSame = status === undefined || status.origin === origin;
  const lines = [
    `${name}  (${id})`,
    `  state     ${stateText(detail, sample)}${restarts > 0 ? `, restarted ${counted(restarts, 'time')}` : ''}; created ${age} ago`,
    `  ${kind === 'serve' ? 'serves' : 'origin'}    ${origin}${isSame ? '' : ` (${status.origin})`}`,
    `  clients   ${url ?? 'it does not listen yet'}`,
    ...(qemu === undefined ? [] : [`  for QEMU  ${qemu}FILE`]),
    `  policy    ${policy}${chosen}`,
  ];
  if (lastError !== undefined)
    lines.push(`  error     ${lastError.code}: ${lastError.cause}`, `            ${lastError.remedy}`);
  const cache = status?.cache;
  if (cache !== undefined)
    lines.push(`  cache     ${cache.directory}: ${formatSize(cache.validBytes)} of ${formatSize(cache.sizeBytes)}`);
  const writeBack = status?.data?.writeBack;
  if (writeBack !== undefined) lines.push(`  changes   ${changesText(writeBack)}`);
  const rows = settings.map(({ key, value, from }) => [`  ${key}`, value, from]);
  return [...lines.map(printable), '', ...tableOf(['  SETTING', 'VALUE', 'FROM'], rows)];
}

type WriteBack = NonNullable<NonNullable<NonNullable<ShownSession['status']>['data']>['writeBack']>;

function changesText({ isAtOrigin, pendingBytes, pendingFiles, conflicts }: WriteBack): string {
  const left = `${formatSize(pendingBytes)} of ${counted(pendingFiles, 'file')} ${pendingFiles === 1 ? 'is' : 'are'} not at the origin`;
  const inConflict = `${counted(conflicts.length, 'file')} in conflict (\`viaduct conflicts\`)`;
  if (conflicts.length === 0) return isAtOrigin ? 'everything is at the origin' : left;
  return pendingFiles === 0 ? `${inConflict}; all else is at the origin` : `${inConflict}; ${left}`;
}

export function closedText({ name, left }: CloseResult): string {
  if (left === undefined) return `${name} is closed`;
  const how = left.files === 0 ? '' : ` (viaduct session reopen ${name})`;
  return `${name} is closed; ${describeLeft(left)}${how}`;
}

/** `KEY=VALUE` of --set; values as in viaduct.yaml. */
export function settingOf(text: string, keys: readonly string[]): readonly [string, unknown] {
  const at = text.indexOf('=');
  const key = at < 0 ? text : text.slice(0, at);
  if (at < 0)
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `--set ${text}: there is no "=".`,
      remedy: 'Write --set KEY=VALUE, as in --set write-back-after=30s.',
    });
  if (!keys.includes(key))
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `--set ${text}: no setting is called "${key}"${nearestText(key, keys)}.`,
      remedy: `Settings are ${keys.join(', ')}.`,
    });
  return [key, valueIn(text.slice(at + 1))];
}

function valueIn(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (!text.startsWith('{')) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
