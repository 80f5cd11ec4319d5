/**
 * What commands print. stdout carries results and the one line of a long-running command that is ready; everything else goes to
 * stderr. An error is one block: code and cause, then the remedy.
 */
import { constants } from 'node:os';
import { CommanderError } from 'commander';
import { type ErrorCode, systemCode, ViaductError } from '../base/mod.ts';
import { printable, printableBlock } from './printable.ts';

/** Documented in docs/errors.md. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  found: 3,
  notWrittenBack: 4,
  leaseLost: 5,
  timedOut: 6,
  bug: 70,
} as const;

const usageCodes: readonly ErrorCode[] = ['CONFIGURATION_INVALID', 'ADDRESS_INVALID', 'ORIGIN_INVALID'];

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  printLine(JSON.stringify(value));
}

/** As if SIGPIPE had ended it. */
const brokenPipe = 128 + constants.signals.SIGPIPE;
const outputs = [process.stdout, process.stderr] as const;

/** Whoever read what a command prints is gone (`| head`), and so the command ends, without a word. */
export function endWithOutput(): void {
  for (const output of outputs) output.on('error', endNow);
}

/** For what must go on though nobody reads it any more, or the disk of its log is full. */
export function outliveOutput(onLost: () => void = () => {}): void {
  for (const output of outputs) output.off('error', endNow).on('error', onLost);
}

function endNow(error: Error): never {
  // Of a terminal that was closed: EIO.
  if (!['EPIPE', 'ECONNRESET', 'EIO'].includes(systemCode(error) ?? '')) process.exit(reportError(error, false));
  process.exit(brokenPipe);
}

/** Prints the error and returns the exit code for it. `file`: which one it is about, where a command has several. */
export function reportError(error: unknown, json: boolean, file?: string): number {
  // Commander has printed the help already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  const known = asViaductError(error);
  if (json) {
    printJson({ file, error: known });
  } else {
    const about = file === undefined || known.message.includes(file) ? '' : `${file}: `;
    process.stderr.write(
      `viaduct: ${known.code}: ${printableBlock(about + known.message)}\n  remedy: ${printableBlock(known.remedy)}\n`,
    );
  }
  if (known.code === 'UNEXPECTED') {
    if (!json && error instanceof Error && error.stack !== undefined) {
      process.stderr.write(`${error.stack.split('\n').map(printable).join('\n')}\n`);
    }
    return exitCodes.bug;
  }
  if (usageCodes.includes(known.code)) return exitCodes.usage;
  if (known.code === 'CONFLICT' || known.code === 'WRITE_BACK_REFUSED') return exitCodes.notWrittenBack;
  if (known.code === 'TIMED_OUT') return exitCodes.timedOut;
  return known.code === 'LEASE_LOST' ? exitCodes.leaseLost : exitCodes.failed;
}

/** What commander says of a command line that it does not understand, in the form of every other error; help stays as it is. */
export function usageError(error: CommanderError, commandPath: string): Error {
  if (error.exitCode === 0 || error.code === 'commander.help') return error;
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: error.message.replace(/^error: /, '').replaceAll('\n', ' '),
    remedy: `\`${commandPath} --help\` shows what it takes.`,
    from: error,
  });
}

/** System errors that reach the top have a meaning for people too; the rest is a bug. */
function asViaductError(error: unknown): ViaductError {
  if (error instanceof ViaductError) return error;
  const message = error instanceof Error ? error.message : String(error);
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new ViaductError('DISK_FULL', { cause: message, remedy: 'Make room on that disk.', from: error });
    case 'EACCES':
    case 'EPERM':
      return new ViaductError('PRIVILEGE_NEEDED', {
        cause: message,
        remedy: 'Use another path, or run as a user who may.',
        from: error,
      });
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EROFS':
      return new ViaductError('CONFIGURATION_INVALID', { cause: message, remedy: 'Check the path.', from: error });
    default:
      return new ViaductError('UNEXPECTED', {
        cause: message,
        remedy: 'This is a bug in Viaduct; please report it with this message.',
        from: error,
      });
  }
}
