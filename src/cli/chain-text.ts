/** What is behind a session, for people: where what it has brought on is by now. */
import { counted, formatDuration, formatSize } from '../base/mod.ts';
import type { ChainStatus, SessionStatus } from '../sessions/mod.ts';

type Hop = ChainStatus['hops'][number];

/** Of each session that has Viaducts behind it which may keep something. */
export function chainsOf(sessions: readonly SessionStatus[]): ChainStatus[] {
  return sessions.flatMap(({ data }) => data?.chain ?? []);
}

/** Parts of the one answer. A hop that several sessions tell of counts once. */
export function describeChains(chains: readonly ChainStatus[]): string[] {
  const behind = chains.filter(({ isAtOrigin }) => !isAtOrigin);
  const keepers = behind.flatMap(({ hops }) => hops.filter(({ isAtNext }) => !isAtNext));
  const known = [...new Map(keepers.map((hop) => [`${hop.host} ${hop.policy} ${hop.pendingBytes}`, hop])).values()];
  const parts = known.map((hop) => describeKeeper(hop));
  const silent = behind.some(({ end }) => end !== 'origin');
  if (silent) parts.push('a Viaduct on the way to the origin does not answer: what it keeps is not known');
  return parts;
}

/** Lines under a session. */
export function describeChain({ hops, end, saidMs }: ChainStatus): string[] {
  const when = saidMs === undefined ? '' : `, as it said ${formatDuration(Date.now() - saidMs)} ago`;
  const lines = hops.map((hop) => `  next      ${hop.host}, ${hop.policy}: ${describeHop(hop)}${when}`);
  if (end === 'silent') lines.push('  next      no answer: what is kept there is not known');
  if (end === 'cut') lines.push('  next      and more, of which nothing is known');
  return lines;
}

function describeHop(hop: Hop): string {
  if (hop.state === 'passing') return 'keeps nothing';
  if (hop.isAtNext) return 'has brought on everything';
  const conflicts = hop.conflicts === 0 ? '' : `; ${counted(hop.conflicts, 'file')} in conflict`;
  const age = hop.oldestAgeMs === undefined ? '' : `, oldest ${formatDuration(hop.oldestAgeMs)}`;
  return `keeps ${formatSize(hop.pendingBytes)} of ${counted(hop.pendingFiles, 'file')}${age}, ${hop.state}${conflicts}`;
}

function describeKeeper(hop: Hop): string {
  const { host, pendingBytes, pendingFiles, oldestAgeMs, secondsLeft, policy, conflicts } = hop;
  if (pendingFiles === 0 && conflicts > 0) return `${counted(conflicts, 'file')} in conflict at ${host}`;
  const amount = `${formatSize(pendingBytes)} of ${counted(pendingFiles, 'file')}`;
  if (policy === 'redirect') return `${amount} kept at ${host} and not for the origin (redirect)`;
  const age = oldestAgeMs === undefined ? '' : `, oldest ${formatDuration(oldestAgeMs)}`;
  const left = secondsLeft === undefined ? '' : `, done in about ${formatDuration(1000 * secondsLeft)}`;
  return `${amount} still at ${host}, not at the origin yet${age}${left === '' ? `, ${hop.state}` : left}`;
}
