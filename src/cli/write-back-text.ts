/** What a session's write-back status says to people: the one answer, and the details under it. */
import { counted, formatDuration, formatSize } from '../base/mod.ts';
import type { EndedSession } from '../control/mod.ts';
import {
  type ConflictStatus,
  type PendingFile,
  type SessionStatus,
  type WriteBackStatus,
  whenFull,
} from '../sessions/mod.ts';
import { chainsOf, describeChains } from './chain-text.ts';

/** Files that are listed without --json. */
const listed = 10;
/** Sessions that have ended, in the one answer. */
const listedEnded = 3;

const stablePlace = { local: 'on this host’s disk', next: 'with the next one', origin: 'on the origin' } as const;

/** Of all sessions together. `unknown`: some that may keep changes did not say. */
export function theOneAnswer(
  sessions: readonly SessionStatus[],
  unknown: number,
  ended: readonly EndedSession[] = [],
): string {
  const statuses = sessions.flatMap(({ data }) => data?.writeBack ?? []);
  const silent = unknown + sessions.filter(keepsChanges).length - statuses.length;
  const waiting = statuses.filter(
    ({ isAtOrigin, pendingFiles, conflicts }) => !isAtOrigin && (pendingFiles > 0 || conflicts.length === 0),
  );
  const parts = [
    ...describeWaiting(waiting.filter(({ policy }) => policy === 'write-back')),
    ...describeKept(waiting.filter(({ policy }) => policy === 'redirect')),
  ];
  if (silent > 0)
    parts.push(`${silent} ${silent === 1 ? 'session does' : 'sessions do'} not answer: what they keep is not known`);
  parts.push(...describeChains(chainsOf(sessions)));
  parts.push(...describeAllEnded(ended));
  const unnamed = ended.reduce((sum, one) => sum + one.unnamedConflicts, 0);
  const conflicts = [...statuses, ...ended].reduce((sum, status) => sum + status.conflicts.length, unnamed);
  if (parts.length === 0) parts.push(conflicts > 0 ? 'all else is at the origin' : 'everything is at the origin');
  if (conflicts > 0) parts.push(`${conflicts} ${conflicts === 1 ? 'file is' : 'files are'} in conflict`);
  return parts.join('; ');
}

export function isEverythingAtOrigin(
  sessions: readonly SessionStatus[],
  unknown: number,
  ended: readonly EndedSession[] = [],
): boolean {
  return (
    unknown === 0 &&
    ended.length === 0 &&
    sessions.every((session) => !keepsChanges(session) || session.data?.writeBack?.isAtOrigin === true) &&
    chainsOf(sessions).every((chain) => chain.isAtOrigin)
  );
}

function describeAllEnded(ended: readonly EndedSession[]): string[] {
  const told = ended.filter(({ pendingFiles, problem }) => pendingFiles > 0 || problem !== undefined);
  const parts = told.slice(0, listedEnded).map(describeEnded);
  const more = told.length - parts.length;
  if (more > 0) parts.push(`${more} more sessions that have ended left changes behind`);
  return parts;
}

/** What starts it again is told below. */
function describeEnded({ pendingBytes, pendingFiles, policy, directory, problem }: EndedSession): string {
  if (problem !== undefined && pendingFiles === 0)
    return `what ${directory} of a session that has ended keeps is not known: ${problem}`;
  const amount = `${problem === undefined ? '' : 'at least '}${formatSize(pendingBytes)} of ${counted(pendingFiles, 'file')}`;
  const [are, they] = pendingFiles === 1 ? ['is', 'it is'] : ['are', 'they are'];
  return policy === 'redirect'
    ? `${amount} ${are} kept in ${directory}, of a redirect session that has ended`
    : `${amount} ${are} not at the origin: ${they} in ${directory}, of a session that has ended`;
}

/** Lines of their own, under those of the processes. */
export function describeEndedSession(ended: EndedSession): string[] {
  const { directory, origin, listen, policy, restart, lostTo, pendingBytes, pendingFiles } = ended;
  const { conflicts, unnamedConflicts, problem } = ended;
  const files = counted(pendingFiles, 'file');
  return [
    `ended session${listen === '' ? '' : `  ${listen}`}`,
    ...(origin === '' ? [] : [`  origin    ${origin}`, `  policy    ${policy}`]),
    `  log       ${directory}`,
    ...(pendingFiles > 0 ? [`  changes   ${formatSize(pendingBytes)} of ${files}`] : []),
    ...(lostTo === undefined
      ? []
      : [
          `  lease     LOST to ${lostTo}: what is here stays here (viaduct log salvage), unless the restart below takes it back`,
        ]),
    ...(problem === undefined ? [] : [`  error     ${problem}`]),
    ...(unnamedConflicts === 0 ? [] : [`  CONFLICT  ${describeUnnamed(ended)}`]),
    ...conflicts.map((conflict) => `  CONFLICT  ${describeConflict(conflict)}`),
    ...(restart === '' ? [] : [`  restart   ${restart}`]),
  ];
}

/** Of a log that takes long to read. */
export function describeUnnamed({ unnamedConflicts, directory }: EndedSession): string {
  const are = unnamedConflicts === 1 ? 'is' : 'are';
  return `${counted(unnamedConflicts, 'file')} ${are} in conflict; their names take long to read: viaduct log show ${directory}`;
}

export function keepsChanges({ writes }: SessionStatus): boolean {
  return writes === 'write-back' || writes === 'redirect';
}

function describeWaiting(statuses: readonly WriteBackStatus[]): string[] {
  if (statuses.length === 0) return [];
  const oldest = Math.max(...statuses.map((status) => status.oldestAgeMs ?? 0));
  const seconds = statuses.map((status) => status.drain.secondsLeft);
  const rate = statuses.reduce((sum, status) => sum + status.drain.bytesPerSecond, 0);
  const isKnown = rate > 0 && seconds.every((left) => left !== undefined);
  const when = isKnown
    ? `done in about ${formatDuration(1000 * Math.max(...seconds.map((left) => left ?? 0)))} at ${formatSize(rate)}/s`
    : describeState(statuses);
  if (statuses.every((status) => status.pendingFiles === 0))
    return ['times that were set are on their way to the origin'];
  return [`${amountOf(statuses)} ${areOf(statuses)} not at the origin yet, oldest ${formatDuration(oldest)}, ${when}`];
}

function describeState(statuses: readonly WriteBackStatus[]): string {
  const troubled = statuses.find(({ drain }) => !['idle', 'waiting', 'writing'].includes(drain.state)) ?? statuses[0]!;
  return stateText(troubled);
}

function describeKept(statuses: readonly WriteBackStatus[]): string[] {
  return statuses.length === 0
    ? []
    : [`${amountOf(statuses)} ${areOf(statuses)} kept here and not for the origin (redirect)`];
}

function amountOf(statuses: readonly WriteBackStatus[]): string {
  const bytes = statuses.reduce((sum, status) => sum + status.pendingBytes, 0);
  const files = statuses.reduce((sum, status) => sum + status.pendingFiles, 0);
  return `${formatSize(bytes)} of ${counted(files, 'file')}`;
}

function areOf(statuses: readonly WriteBackStatus[]): string {
  return statuses.reduce((sum, status) => sum + status.pendingFiles, 0) === 1 ? 'is' : 'are';
}

function stateText({ drain: { state, problem }, lease, originAwaySinceMs: awayMs }: WriteBackStatus): string {
  if (lease.state === 'acquiring' && state !== 'origin-away')
    return `waiting for the write lease${lease.problem === undefined ? '' : `: ${lease.problem}`}`;
  const because = problem === undefined ? '' : `: ${problem}`;
  switch (state) {
    case 'idle':
    case 'waiting':
      return 'waiting for more of them or for an order';
    case 'writing':
      return 'being written back';
    case 'origin-away':
      return awayMs === undefined
        ? 'waiting for the origin, which is away'
        : `waiting for the origin, which ${silence(awayMs)}`;
    case 'refused':
      return `refused by the origin${because}`;
    case 'lease-lost':
      return lease.state === 'lost'
        ? `kept here, because ${lease.holder} took the write lease`
        : `kept here, because another host took the write lease${because}`;
    case 'damaged':
      return `held back, because the log is damaged${because}`;
  }
}

export function silence(sinceMs: number): string {
  return `has not answered since ${new Date(sinceMs).toISOString()} (${formatDuration(Date.now() - sinceMs)})`;
}

/** Lines under a session. `isInRow`: what it brings on comes to another Viaduct first. */
export function describeWriteBack(status: WriteBackStatus, isInRow = status.commit === 'next'): string[] {
  const { log, lease, policy, commit, drain, files, filesLeftOff, conflicts } = status;
  const full = Math.round((100 * log.reservedBytes) / Math.max(1, log.limitBytes));
  const slowed = log.waitingWriters > 0 ? `; ${log.waitingWriters} writers wait for room` : '';
  const lines = [
    `  policy    ${policy}${policy === 'write-back' ? `, stable data ${stablePlace[commit]}` : ''}`,
    `  log       ${log.directory}: ${formatSize(log.reservedBytes)} of ${formatSize(log.limitBytes)} (${full} %) reserved, ${formatSize(log.usedBytes)} of it in use${slowed}`,
  ];
  lines.push(...describeDisk(status));
  if (log.failedSyncs > 0) lines.push(`  log       its disk failed ${log.failedSyncs} times to keep what was written`);
  if (status.pendingFiles > 0)
    lines.push(`  changes   ${amountOf([status])} ${policy === 'redirect' ? 'kept' : stateText(status)}`);
  const known = drain.knownBytes > 0 ? `, of which it had ${formatSize(drain.knownBytes)} already` : '';
  if (drain.movedBytes > 0)
    lines.push(
      `  moved     ${formatSize(drain.movedBytes)} to the ${isInRow ? 'next one' : 'origin'} since the start${known}`,
    );
  if (lease.state === 'lost') {
    const age = formatDuration(Date.now() - lease.sinceMs);
    lines.push(`  lease     LOST to ${lease.holder} ${age} ago: what is here stays here (viaduct log salvage)`);
  } else if (lease.state === 'acquiring' && status.originAwaySinceMs !== undefined)
    lines.push('  lease     to be asked for as soon as the origin answers');
  else if (lease.state !== 'none') lines.push(`  lease     ${lease.state}`);
  for (const file of files.slice(0, listed)) lines.push(`  file      ${describeFile(file)}`);
  const more = Math.max(0, files.length - listed) + filesLeftOff;
  if (more > 0) lines.push(`  file      ... and ${more} more${filesLeftOff === 0 ? ' (--json shows them)' : ''}`);
  for (const conflict of conflicts) lines.push(`  CONFLICT  ${describeConflict(conflict)}`);
  return lines;
}

function describeDisk({ log: { disk }, policy }: WriteBackStatus): string[] {
  if (disk === undefined || disk.state === 'roomy') return [];
  const room = `its disk ${disk.state === 'full' ? 'is FULL' : 'is nearly full'}: ${formatSize(disk.freeBytes)} of ${formatSize(disk.sizeBytes)} free`;
  const then = disk.state === 'full' ? '' : 'then ';
  return [`  log       ${room}; ${then}${whenFull(policy)}. Make room on it`];
}

function describeFile({ path, handle, bytes, oldestAgeMs }: PendingFile): string {
  return `${path ?? `(name unknown) handle:${handle}`}: ${formatSize(bytes)}, oldest ${formatDuration(oldestAgeMs)}`;
}

/** What a command takes as FILE. */
export function clearable({ path, handle }: Pick<ConflictStatus, 'path' | 'handle'>): string {
  return path ?? `handle:${handle}`;
}

export function describeConflict({ path, handle, kind, atMs, savedAs }: ConflictStatus): string {
  const what = {
    changed: 'somebody else changed it at the origin',
    gone: 'it was removed at the origin',
    interleaved: 'somebody else wrote at the same time; the origin shows a mixture in an unknown order',
  }[kind];
  const where = {
    origin: 'this host’s version is beside it at the origin:',
    local: 'this host’s version is on this host:',
    log: 'this host’s version is still in the dirty log:',
  };
  const saved = savedAs === undefined ? '' : `; ${where[savedAs.where]} ${savedAs.name}`;
  return `${clearable({ path, handle })}, ${new Date(atMs).toISOString()}: ${what}${saved}`;
}
