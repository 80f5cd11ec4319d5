/**
 * Runs a task in a running process and shows it: a bar on a terminal, lines of JSON for scripts, one line or one error at the end.
 *
 *   asked ──progress──► result, error, or `ended`: the process is gone, and the task with it
 *     └──signal, --timeout──► the terminal as it was, one line; the task goes on there
 */
import { constants } from 'node:os';
import { SingleBar } from 'cli-progress';
import { formatDuration, formatSize, parseDuration, systemClock, ViaductError } from '../base/mod.ts';
import { askProcesses, askTask, type TaskAnswer } from '../control/mod.ts';
import type { SessionStatus, SessionTask, TaskProgress, TaskResult } from '../sessions/mod.ts';
import { type DaemonPort, daemonGone } from './daemon-port.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { type Chosen, controlDirectory } from './process-choice.ts';
import { silence } from './write-back-text.ts';

export interface TaskView {
  readonly wait: boolean;
  readonly json: boolean;
  /** How long `wait` waits at most. */
  readonly timeoutMs?: number | undefined;
  /** What is printed when it is done; undefined: nothing, for more comes. */
  readonly doneText: string | undefined;
  /** Of a command that has several: each line of JSON tells which one it is about. */
  readonly file?: string | undefined;
}

type TaskPort = Pick<DaemonPort, 'pid' | 'start' | 'run'>;

/** Who was asked, for texts, and how. */
interface Asked {
  readonly pid: number;
  readonly isDaemon: boolean;
  ask(onProgress: (progress: TaskProgress) => void): Promise<TaskAnswer>;
}

/** Answers the exit code. */
export function showTask({ pid, session }: Chosen, task: SessionTask, view: TaskView): Promise<number> {
  const options = { directory: controlDirectory(), pid, clock: systemClock, followMs: view.timeoutMs };
  const ask: Asked['ask'] = (onProgress) =>
    askTask({ task, wait: view.wait, session: session.id }, { ...options, onProgress });
  return showAsked({ pid, ask, isDaemon: session.id !== undefined }, task, view);
}

/** The same through the API of the daemon. */
export function followTask(daemon: TaskPort, session: string, task: SessionTask, view: TaskView): Promise<number> {
  const ask: Asked['ask'] = async (onProgress) => {
    if (!view.wait) {
      await daemon.start(session, task);
      return { kind: 'started', progress: undefined };
    }
    let latest: TaskProgress | undefined;
    const running = daemon.run(session, task, (progress) => {
      latest = progress;
      onProgress(progress);
    });
    const done = running.then((result) => ({ kind: 'result', result }) as const);
    if (view.timeoutMs === undefined) return await done;
    const late = Promise.withResolvers<TaskAnswer>();
    const timer = systemClock.after(view.timeoutMs, () => late.resolve({ kind: 'late', progress: latest }));
    // Nobody hears of an end that comes later.
    done.catch(() => {});
    return await Promise.race([done, late.promise]).finally(() => timer.cancel());
  };
  return showAsked({ pid: daemon.pid, ask, isDaemon: true }, task, view);
}

async function showAsked({ pid, ask, isDaemon }: Asked, task: SessionTask, view: TaskView): Promise<number> {
  const bar = new ProgressBar(view);
  const asking = ask((progress) => bar.show(progress));
  // What does not wait has nothing to leave as it was.
  const signals = view.wait ? new EndingSignals() : undefined;
  const answer = await (signals === undefined ? asking : Promise.race([asking, signals.received])).finally(() => {
    bar.end();
    signals?.close();
  });
  switch (answer.kind) {
    case 'started':
      if (view.json) printJson({ file: view.file, ...answer });
      else printLine(startedText(answer.progress));
      return exitCodes.done;
    case 'result':
      return showResult(answer.result, task, view);
    case 'error':
      throw new ViaductError(answer.error.code, answer.error);
    case 'late':
      throw lateError(answer.progress ?? (await lastKnown(pid)), view.timeoutMs ?? 0);
    case 'signal':
      process.stderr.write(`viaduct: not waited for any more; it goes on in process ${pid} (\`viaduct status\`)\n`);
      return 128 + constants.signals[answer.signal];
    case 'ended': {
      if (isDaemon) throw daemonGone(pid);
      const problem = `process ${pid}, which was to do it, has ended`;
      return showResult({ outcome: 'closed', problems: [problem] }, task, view);
    }
    case 'silent':
      throw new ViaductError('TIMED_OUT', {
        cause: `process ${pid}: ${answer.reason}.`,
        remedy: '`viaduct status` says how it is; what was begun there goes on.',
      });
  }
}

/** Of --timeout, which says something only with --wait. */
export function timeoutOf({
  wait,
  timeout,
}: {
  readonly wait?: boolean;
  readonly timeout?: string;
}): number | undefined {
  if (timeout === undefined) return undefined;
  if (wait === true) {
    const timeoutMs = parseDuration(timeout, '--timeout');
    if (timeoutMs > 0) return timeoutMs;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `--timeout: "${timeout}" is no time to wait.`,
      remedy: 'Write one: 30s, 2m, 1h; or leave --wait and --timeout out, and it is only begun.',
    });
  }
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: '--timeout says how long --wait waits, and --wait is missing.',
    remedy: 'Add --wait, or leave --timeout out.',
  });
}

/** What is known of the origin when the task has not said how far it is: that it is away keeps tasks from beginning. */
async function lastKnown(pid: number): Promise<string | undefined> {
  const answers = await askProcesses({ directory: controlDirectory(), clock: systemClock });
  const answer = answers.find((one) => one.kind === 'answered' && one.status.pid === pid);
  return answer?.kind === 'answered' ? awayText(answer.status.sessions) : undefined;
}

/** Apart from the asking, so that it can be tested. Undefined: nothing of the kind is known. */
export function awayText(sessions: readonly Pick<SessionStatus, 'data'>[]): string | undefined {
  for (const { data } of sessions) {
    const presence = data?.layers.presence;
    if (presence !== undefined && 'sinceMs' in presence)
      return `nothing could be begun, for the origin ${silence(Number(presence.sinceMs))}`;
  }
  return undefined;
}

/** Apart from the printing, so that it can be tested. `reached`: how far it is, or why nobody knows. */
export function lateError(reached: TaskProgress | string | undefined, timeoutMs: number): ViaductError {
  const left = typeof reached === 'object' ? stillMissing(reached) : (reached ?? 'it has not said how far it is');
  return new ViaductError('TIMED_OUT', {
    cause: `not done after ${formatDuration(timeoutMs)} (--timeout): ${left}.`,
    remedy: 'It goes on by itself and nothing is lost: wait again, or see `viaduct status`.',
  });
}

function stillMissing({ pendingBytes, state, problem }: TaskProgress): string {
  const where = state === 'fetching' ? 'here' : 'at the origin';
  return `${formatSize(pendingBytes)} are not ${where} yet; ${problem ?? state}`;
}

/** Apart from the printing, so that it can be tested. */
export function startedText(progress: TaskProgress | undefined): string {
  if (progress?.state === 'origin-away')
    return `begun, but the origin is away: ${progress.problem ?? 'it does not answer'}; it goes on by itself when the origin is back`;
  if (progress === undefined || progress.pendingBytes === 0) return 'begun';
  if (progress.state === 'fetching')
    return `begun: ${formatSize(progress.pendingBytes)} are looked at and fetched (--wait waits for them)`;
  return `begun: ${formatSize(progress.pendingBytes)} are on their way to the origin (--wait waits for them)`;
}

/** Apart from the printing, so that it can be tested. */
export function waitingText({ state, totalBytes, problem }: TaskProgress): string {
  if (state === 'origin-away')
    return `the origin is away: ${problem ?? 'it does not answer'}; waiting until it is back`;
  if (state === 'fetching') return `waiting until ${formatSize(totalBytes)} are here`;
  return totalBytes === 0 ? 'waiting for the origin' : `waiting until ${formatSize(totalBytes)} are at the origin`;
}

function showResult(result: TaskResult, task: SessionTask, view: TaskView): number {
  const { outcome, problems } = result;
  if (view.json) {
    printJson({ file: view.file, kind: 'result', result });
    return exitCodeOf(outcome);
  }
  if (outcome === 'done') {
    for (const problem of problems) process.stderr.write(`viaduct: ${problem}\n`);
    if (view.doneText !== undefined) printLine(view.doneText);
    return exitCodes.done;
  }
  throw errorFor(outcome, problems.length === 0 ? ['no reason is known'] : problems, task);
}

function exitCodeOf(outcome: TaskResult['outcome']): number {
  switch (outcome) {
    case 'done':
      return exitCodes.done;
    case 'conflict':
    case 'refused':
      return exitCodes.notWrittenBack;
    case 'lease-lost':
      return exitCodes.leaseLost;
    case 'closed':
    case 'incomplete':
      return exitCodes.failed;
  }
}

/** Apart from the printing, so that it can be tested. */
export function errorFor(
  outcome: Exclude<TaskResult['outcome'], 'done'>,
  problems: readonly string[],
  { task }: SessionTask,
): ViaductError {
  const cause = problems.join('\n          ');
  switch (outcome) {
    case 'conflict':
      return new ViaductError('CONFLICT', {
        cause,
        // One that another Viaduct on the way to the origin has is named and cleared there.
        remedy: cause.includes('viaduct conflicts clear')
          ? 'Look at both versions, keep what you need, then let the file take writes again: `viaduct conflicts` shows the command with its session.'
          : 'Run `viaduct conflicts` on the host that is named above: it tells the files, both versions and the command that lets them take writes again.',
      });
    case 'refused':
      return new ViaductError('WRITE_BACK_REFUSED', {
        cause,
        remedy: 'Make room or grant the permission at the origin: it is tried again by itself; nothing is lost.',
      });
    case 'lease-lost':
      return new ViaductError('LEASE_LOST', {
        cause,
        remedy: 'What is here is kept: `viaduct log salvage` copies it into ordinary files.',
      });
    case 'closed':
      return new ViaductError('SESSION_NOT_FOUND', {
        cause: `it was not finished: ${cause}`,
        remedy:
          task === 'warm'
            ? 'Ask again when the session runs: what is here is not fetched again.'
            : 'What the origin does not have is kept in the dirty log; ask again when the session runs.',
      });
    case 'incomplete':
      return new ViaductError('FETCH_INCOMPLETE', {
        cause,
        remedy: 'If the file is still at the origin, ask again: what is here is not fetched again.',
      });
  }
}

const ending = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** While somebody waits: a signal ends the waiting, not the process in the middle of a line. */
class EndingSignals {
  readonly received: Promise<{ readonly kind: 'signal'; readonly signal: (typeof ending)[number] }>;
  readonly #removals: (() => void)[] = [];

  constructor() {
    this.received = new Promise((resolve) => {
      for (const signal of ending) {
        const take = (): void => resolve({ kind: 'signal', signal });
        process.on(signal, take);
        this.#removals.push(() => process.off(signal, take));
      }
    });
  }

  close(): void {
    for (const remove of this.#removals) remove();
  }
}

/** On a terminal only. JSON lines go to stdout as they come. */
class ProgressBar {
  readonly #view: TaskView;
  #bar: SingleBar | undefined;
  /** The state that was last told without a terminal. */
  #told: string | undefined;

  constructor(view: TaskView) {
    this.#view = view;
  }

  show(progress: TaskProgress): void {
    if (this.#view.json) printJson({ file: this.#view.file, kind: 'progress', progress });
    else if (!process.stderr.isTTY) this.#tell(progress);
    else if (progress.totalBytes > 0) this.#draw(progress);
    else if (progress.state === 'origin-away') this.#tell(progress);
  }

  /** One line when it begins, and one each time that the origin goes away: a log has no use for more. */
  #tell(progress: TaskProgress): void {
    const isAway = progress.state === 'origin-away';
    if (this.#view.wait && (this.#told === undefined || (isAway && this.#told !== progress.state)))
      process.stderr.write(`viaduct: ${waitingText(progress)}\n`);
    this.#told = progress.state;
  }

  #draw(progress: TaskProgress): void {
    const { totalBytes, pendingBytes, bytesPerSecond, secondsLeft, state, problem } = progress;
    const moved = totalBytes - pendingBytes;
    const left = secondsLeft === undefined ? state : `${formatDuration(1000 * secondsLeft)} left`;
    const fields = { left: problem ?? left, rate: `${formatSize(bytesPerSecond)}/s`, amount: formatSize(pendingBytes) };
    if (this.#bar !== undefined) {
      this.#bar.update(moved, fields);
      return;
    }
    const format = '{bar} {percentage} %  {amount} to go  {rate}  {left}';
    this.#bar = new SingleBar({ format, stream: process.stderr, hideCursor: true, clearOnComplete: true });
    this.#bar.start(totalBytes, moved, fields);
  }

  end(): void {
    this.#bar?.stop();
  }
}
