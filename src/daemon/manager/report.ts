/**
 * Why a session failed, as a file for whoever looks into it: STATE/reports/ID-TIME.json, with the error and its stack, the plan, the last
 * counters and the last lines of its log. The newest `limits.failureReports` stay.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { limits } from '../../base/mod.ts';
import { makeDirectory, removeIfPossible, replaceFile } from '../../native/mod.ts';
import type { ErrorRecord, RunningSession } from '../../sessions/mod.ts';
import type { Ground } from './ground.ts';
import type { ManagedSession } from './session.ts';

export function writeReport(
  { stateDirectory, clock, log }: Pick<Ground, 'stateDirectory' | 'clock' | 'log'>,
  session: ManagedSession,
  running: RunningSession,
  error: ErrorRecord,
): void {
  const time = new Date(clock.wallTimeMs()).toISOString();
  const directory = join(stateDirectory, 'reports');
  const path = join(directory, `${session.id}-${time.replaceAll(/[-:]/g, '')}.json`);
  const { id, name, row, lines } = session;
  try {
    const { restarts } = running.status();
    const counters = running.lastCounters();
    const report = { id, name, time, error, restarts, plan: row.plan, settings: row.resolved, counters, log: lines };
    makeDirectory(directory, 0o700);
    replaceFile(path, `${JSON.stringify(report, undefined, 2)}\n`);
    log.error(
      { session: id, name, ...error, report: path },
      'the session failed; what it wrote is kept, and a report was written',
    );
    const old = readdirSync(directory).filter((entry) => entry.endsWith('.json'));
    // Times sort as text behind the id only.
    const byTime = old.sort((a, b) => (a.slice(11) < b.slice(11) ? -1 : 1));
    for (const entry of byTime.slice(0, -limits.failureReports)) removeIfPossible(join(directory, entry));
  } catch (problem) {
    log.error(
      { session: id, name, ...error, cause: String(problem) },
      'the session failed, and its report could not be written',
    );
  }
}
