/** `viaduct status`: what the Viaduct processes of this user say about themselves. */
import { Command } from 'commander';
import { systemClock } from '../base/mod.ts';
import { askProcesses, type ProcessStatus, runtimeDirectory, type StatusAnswer } from '../control/mod.ts';
import type { SessionStatus } from '../sessions/mod.ts';
import { printJson, printLine } from './output.ts';
import { formatDuration, formatSize } from './values.ts';

const examples = `
Examples:
  viaduct status
  viaduct status --json | jq '.processes[].sessions[].cache.hits'`;

export function statusCommand(): Command {
  return new Command('status')
    .summary('show what runs on this host')
    .description('Shows the Viaduct processes of this user. Never waits longer than two seconds for one.')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', examples)
    .action((flags: { json?: boolean }) => status(flags.json === true));
}

async function status(json: boolean): Promise<void> {
  const directory = runtimeDirectory({ environment: process.env, uid: process.getuid?.() ?? 0 });
  const answers = await askProcesses({ directory, clock: systemClock });
  if (json) {
    printJson({
      processes: answers.map((answer) =>
        answer.kind === 'answered' ? answer.status : { pid: answer.pid, error: answer.reason },
      ),
    });
  } else if (answers.length === 0) {
    printLine('No Viaduct process of this user runs.');
  } else {
    for (const answer of answers) printLine(describe(answer));
  }
}

function describe(answer: StatusAnswer): string {
  if (answer.kind === 'silent') return `pid ${answer.pid}: ${answer.reason}`;
  return [headOf(answer.status), ...answer.status.sessions.flatMap(describeSession)].join('\n');
}

function headOf(process: ProcessStatus): string {
  const age = formatDuration(Date.now() - Date.parse(process.startedAt));
  return `${process.command}  pid ${process.pid}, up ${age}, ${formatSize(process.residentBytes)} resident`;
}

function describeSession(session: SessionStatus): string[] {
  const { place, cache } = session;
  const lines = [
    `  origin    ${session.origin}`,
    `  state     ${session.state}${session.restarts > 0 ? `, restarted ${session.restarts} times` : ''}`,
  ];
  const presence = session.data?.layers.presence;
  if (presence !== undefined && 'sinceMs' in presence) {
    const age = formatDuration(Date.now() - Number(presence.sinceMs));
    lines.push(`  away      the origin, for ${age}: what is known and cached is served, the rest waits`);
  }
  if (place !== undefined) lines.push(`  listens   ${place.host}:${place.port}, portmapper: ${place.portmapper}`);
  if (session.lastError !== undefined)
    lines.push(`  error     ${session.lastError.code}: ${session.lastError.cause.split('\n')[0]}`);
  if (cache !== undefined) {
    const asked = cache.hits + cache.misses;
    const share = asked === 0 ? '' : `, ${Math.round((100 * cache.hits) / asked)} % of ${asked} reads hit`;
    lines.push(
      `  cache     ${cache.directory}: ${formatSize(cache.validBytes)} of ${formatSize(cache.sizeBytes)}${share}`,
    );
  }
  return lines;
}
