/**
 * What the image commands have in common that read images: threads, progress, a signal that ends them, one file after the other.
 *
 *     file ──► work ──► result          file ──► error, told; the others go on       signal ──► what is under way is undone ──► 130
 */
import { availableParallelism } from 'node:os';
import { SingleBar } from 'cli-progress';
import { formatDuration, formatSize, systemClock, ViaductError } from '../base/mod.ts';
import { type Progress, type ReadingOptions, startCrew, toText } from '../images/mod.ts';
import { exitCodes, reportError } from './output.ts';
import { printable } from './printable.ts';
import { Signals } from './signals.ts';

export interface WorkFlags {
  readonly threads?: number;
  readonly json?: boolean;
}

const mostThreads = 8;
const interrupted = 130;

/** Each file by itself; false for those that failed, which have been told. */
export async function forEachFile(
  files: Iterable<string>,
  flags: WorkFlags,
  action: (file: string, work: ReadingOptions) => Promise<void>,
): Promise<{ failed: number; isInterrupted: boolean }> {
  const signals = new Signals();
  const end = new AbortController();
  void signals.requested.then(() => end.abort());
  const crew = startCrew(flags.threads ?? Math.min(mostThreads, availableParallelism()));
  // Nothing else keeps the process alive while it waits for a file to settle.
  const keptAlive = setInterval(() => {}, 2 ** 30);
  const view = flags.json === true ? new ProgressLines() : new ProgressBar();
  let failed = 0;
  try {
    for (const file of files) {
      try {
        await action(file, { crew, signal: end.signal, onProgress: (progress) => view.show(progress) });
      } catch (error) {
        if (end.signal.aborted) break;
        view.end();
        failed++;
        // What people read names it already.
        const code = flags.json === true ? reportError(error, true, toText(file)) : reportError(error, false);
        process.exitCode ??= code;
        // The next one finds it full too.
        if (code === exitCodes.bug || (error instanceof ViaductError && error.code === 'DISK_FULL')) break;
      } finally {
        view.end();
      }
      if (end.signal.aborted) break;
    }
  } finally {
    clearInterval(keptAlive);
    await crew.close();
  }
  if (end.signal.aborted) process.exitCode = interrupted;
  return { failed, isInterrupted: end.signal.aborted };
}

/** On stderr, a few a second. */
class ProgressLines {
  #toldMs = Number.NEGATIVE_INFINITY;
  #told = '';

  show(progress: Progress): void {
    const now = systemClock.now();
    const line = JSON.stringify({ kind: 'progress', ...progress });
    if (line === this.#told || (now - this.#toldMs < 250 && progress.doneBytes < progress.totalBytes)) return;
    [this.#toldMs, this.#told] = [now, line];
    process.stderr.write(`${line}\n`);
  }

  end(): void {}
}

/** On a terminal only. */
class ProgressBar {
  #bar: SingleBar | undefined;
  #stage = '';
  #startedMs = 0;
  #startBytes = 0;

  show({ path, stage, doneBytes, totalBytes }: Progress): void {
    if (!process.stderr.isTTY || totalBytes === 0) return;
    const now = systemClock.now();
    if (this.#bar === undefined || this.#stage !== `${stage} ${path}`) {
      this.end();
      this.#stage = `${stage} ${path}`;
      [this.#startedMs, this.#startBytes] = [now, doneBytes];
      const format = `${nameOf(path)}: {stage} {bar} {percentage} %  {rate}  {left}`;
      this.#bar = new SingleBar({ format, stream: process.stderr, hideCursor: true, clearOnComplete: true });
      this.#bar.start(totalBytes, doneBytes, { stage, rate: '', left: '' });
      return;
    }
    const rate = (1000 * (doneBytes - this.#startBytes)) / Math.max(1, now - this.#startedMs);
    const leftMs = rate === 0 ? undefined : (1000 * (totalBytes - doneBytes)) / rate;
    const left = leftMs === undefined ? '' : `${formatDuration(leftMs)} left`;
    this.#bar.update(doneBytes, { stage, rate: `${formatSize(rate)}/s`, left });
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

function nameOf(path: string): string {
  return printable(path.slice(path.lastIndexOf('/') + 1)).replaceAll(/[{}]/g, '_');
}
