/** Runs a task in a running process and shows it: a bar on a terminal, lines of JSON for scripts, one line or one error at the end. */
import { SingleBar } from 'cli-progress';
import { formatSize, systemClock, ViaductError } from '../base/mod.ts';
import { askTask } from '../control/mod.ts';
import type { SessionTask, TaskProgress, TaskResult } from '../sessions/mod.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { type Chosen, controlDirectory } from './process-choice.ts';
import { formatDuration, parseDuration } from './values.ts';

export interface TaskView {
  readonly wait: boolean;
  readonly json: boolean;
  /** How long `wait` waits at most. */
  readonly timeoutMs?: number | undefined;
  /** What is printed when it is done. */
  readonly doneText: string;
}

export async function showTask(chosen: Chosen, task: SessionTask, view: TaskView): Promise<void> {
  const bar = new ProgressBar(view);
  const answer = await askTask(
    { task, wait: view.wait },
    {
      directory: controlDirectory(),
      pid: chosen.pid,
      clock: systemClock,
      followMs: view.timeoutMs,
      onProgress: (progress) => bar.show(progress),
    },
  );
  bar.end();
  switch (answer.kind) {
    case 'started':
      if (view.json) printJson(answer);
      else printLine(startedText(answer.progress));
      return;
    case 'result':
      return showResult(answer.result, view);
    case 'error':
      throw new ViaductError(answer.error.code, answer.error);
    case 'late':
      throw lateError(answer.progress, view.timeoutMs ?? 0);
    case 'silent':
      throw new ViaductError('TIMED_OUT', {
        cause: `process ${chosen.pid}: ${answer.reason}.`,
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
  if (wait === true) return parseDuration(timeout, '--timeout');
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: '--timeout says how long --wait waits, and --wait is missing.',
    remedy: 'Add --wait, or leave --timeout out.',
  });
}

/** Apart from the printing, so that it can be tested. */
export function lateError(progress: TaskProgress | undefined, timeoutMs: number): ViaductError {
  const left = progress === undefined ? 'it has not said how far it is' : stillMissing(progress);
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

function showResult(result: TaskResult, view: TaskView): void {
  const { outcome, problems } = result;
  if (view.json) {
    printJson({ kind: 'result', result });
    process.exitCode = exitCodeOf(outcome);
    return;
  }
  if (outcome === 'done') {
    for (const problem of problems) process.stderr.write(`viaduct: ${problem}\n`);
    printLine(view.doneText);
    return;
  }
  throw errorFor(outcome, problems.length === 0 ? ['no reason is known'] : problems);
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

function errorFor(outcome: Exclude<TaskResult['outcome'], 'done'>, problems: readonly string[]): ViaductError {
  const cause = problems.join('\n          ');
  switch (outcome) {
    case 'conflict':
      return new ViaductError('CONFLICT', {
        cause,
        remedy:
          'Look at both versions, keep what you need, then let the file take writes again with the command above.',
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
        remedy: 'What the origin does not have is kept in the dirty log; ask again when the session runs.',
      });
    case 'incomplete':
      return new ViaductError('ORIGIN_UNREACHABLE', {
        cause,
        remedy: 'Ask again: what is here is not fetched again. The log of the session says what the origin answered.',
      });
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
    if (this.#view.json) printJson({ kind: 'progress', progress });
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
