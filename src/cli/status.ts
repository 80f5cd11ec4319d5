/** `viaduct status`: what the Viaduct processes of this user say about themselves. */
import { Command } from 'commander';
import { formatDuration, formatSize, systemClock } from '../base/mod.ts';
import {
  askProcesses,
  endedSessions,
  type ListedSession,
  mayKeepChanges,
  type ProcessStatus,
  type StatusAnswer,
} from '../control/mod.ts';
import { describeChain } from './chain-text.ts';
import { printJson, printLine } from './output.ts';
import { controlDirectory } from './process-choice.ts';
import { openLogIndex } from './session-end.ts';
import {
  describeEndedSession,
  describeWriteBack,
  isEverythingAtOrigin,
  silence,
  theOneAnswer,
} from './write-back-text.ts';

const examples = `
Examples:
  viaduct status
  viaduct status --json | jq .everythingAtOrigin
  viaduct status --json | jq '.processes[].sessions[].data.writeBack.files'

The first line is the one answer: whether everything that clients wrote is at the origin, and if not, how much is not, how old the
oldest of it is, and when it will be there at the present rate. docs/status.md explains every field of --json. Of a daemon, \`viaduct top\` shows the
same as it changes, and \`viaduct session page\` tells where a browser does.`;

export function statusCommand(): Command {
  return new Command('status')
    .summary('show what runs on this host')
    .description(
      'Shows the Viaduct processes of this user, and what sessions that have ended left in their dirty logs. Never waits longer than two seconds for one.',
    )
    .option('--json', 'print everything as JSON')
    .addHelpText('after', examples)
    .action((flags: { json?: boolean }) => status(flags.json === true));
}

async function status(json: boolean): Promise<void> {
  const answers = await askProcesses({ directory: controlDirectory(), clock: systemClock });
  const ended = await endedSessions(openLogIndex(), answers, systemClock);
  const sessions = answers.flatMap((answer) => (answer.kind === 'answered' ? answer.status.sessions : []));
  const silent = answers.filter((answer) => mayKeepChanges(answer)).length;
  if (json) {
    printJson({
      everythingAtOrigin: isEverythingAtOrigin(sessions, silent, ended),
      processes: answers.map((answer) =>
        answer.kind === 'answered' ? answer.status : { pid: answer.pid, error: answer.reason },
      ),
      endedSessions: ended,
    });
  } else if (answers.length === 0 && ended.length === 0) {
    printLine('No Viaduct process of this user runs.');
  } else {
    printLine(theOneAnswer(sessions, silent, ended));
    for (const answer of answers) printLine(`\n${describe(answer)}`);
    for (const one of ended) printLine(`\n${describeEndedSession(one).join('\n')}`);
  }
}

function describe(answer: StatusAnswer): string {
  if (answer.kind === 'silent') return `pid ${answer.pid}: ${answer.reason}`;
  return [headOf(answer.status), ...answer.status.sessions.flatMap(describeSession)].join('\n');
}

function headOf(process: ProcessStatus): string {
  const { holds } = process;
  const age = formatDuration(Date.now() - Date.parse(process.startedAt));
  return `${process.command}  pid ${process.pid}, up ${age}, ${formatSize(process.residentBytes)} resident${holds === undefined ? '' : `; its session is ${holds.name} of the daemon, process ${holds.pid}`}`;
}

function describeSession(session: ListedSession): string[] {
  const { place, cache, id, name } = session;
  const lines = [
    ...(name === undefined ? [] : [`  session   ${name} (${id})`]),
    `  origin    ${session.origin}`,
    `  state     ${session.state}${session.restarts > 0 ? `, restarted ${session.restarts} times` : ''}`,
  ];
  const presence = session.data?.layers.presence;
  if (presence !== undefined && 'sinceMs' in presence) {
    const silent = silence(Number(presence.sinceMs));
    lines.push(`  away      the origin ${silent}: what is known and cached is served, the rest waits`);
  }
  if (place !== undefined) lines.push(`  listens   ${place.host}:${place.port}, portmapper: ${place.portmapper}`);
  const { writeBack, chain } = session.data ?? {};
  if (writeBack !== undefined) lines.push(...describeWriteBack(writeBack, chain !== undefined));
  if (chain !== undefined) lines.push(...describeChain(chain));
  if (session.lastError !== undefined)
    lines.push(`  error     ${session.lastError.code}: ${session.lastError.cause.split('\n')[0]}`);
  const wire = session.data?.layers.origin;
  if (wire !== undefined) lines.push(...describePacked(wire));
  const content = session.data?.layers.content;
  if (content !== undefined) lines.push(...describeContent(content));
  const sets = session.data?.layers['working-sets'];
  if (sets !== undefined) lines.push(...describeWorkingSets(sets));
  if (cache !== undefined) {
    const asked = cache.hits + cache.misses;
    const share = asked === 0 ? '' : `, ${Math.round((100 * cache.hits) / asked)} % of ${asked} reads hit`;
    lines.push(
      `  cache     ${cache.directory}: ${formatSize(cache.validBytes)} of ${formatSize(cache.sizeBytes)}${share}`,
    );
  }
  return lines;
}

/** Nothing of it over a fast link, or from a plain NFS server. */
function describePacked(counters: object): string[] {
  const { packedReadBytes = 0, packedReadWireBytes = 0 } = counters as Record<string, number | undefined>;
  if (packedReadBytes === 0) return [];
  return [`  packed    ${formatSize(packedReadBytes)} of reads crossed the link as ${formatSize(packedReadWireBytes)}`];
}

/** Nothing of it where no file is described. */
function describeContent(counters: object): string[] {
  const of = (name: string): number => Number((counters as Record<string, unknown>)[name] ?? 0);
  if (of('heads') === 0) return [];
  const damaged = of('damaged') === 0 ? '' : `; ${of('damaged')} damaged parts were read plainly`;
  return [
    `  content   ${of('files')} files described: ${formatSize(of('zeroBytes'))} zeros, ${formatSize(of('dedupeBytes'))} were on this host,`,
    `            ${formatSize(of('packChunkBytes'))} from ${formatSize(of('packBytes'))} of packs, ${formatSize(of('plainBytes'))} plain${damaged}`,
  ];
}

/** Nothing of it before anything was fetched ahead. */
function describeWorkingSets(counters: object): string[] {
  const of = (name: string): number | undefined => (counters as Record<string, number | undefined>)[name];
  const fetched = of('fetchedBytes') ?? 0;
  const left = of('leftBytes') ?? 0;
  if (fetched === 0 && left === 0) return [];
  const toGo = left === 0 ? '' : `, ${formatSize(left)} to go`;
  const last = of('lastDemandAfterMs');
  const demand =
    last === undefined ? '' : `; the last read that waited for the origin: ${formatDuration(last)} after the start`;
  return [
    `  ahead     ${formatSize(fetched)} fetched before they were asked for, ${formatSize(of('usedBytes') ?? 0)} used${toGo}${demand}`,
  ];
}
