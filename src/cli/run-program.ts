/** Runs the command that is asked for, and turns what goes wrong into one message and an exit code. */
import type { Command } from 'commander';
import { exitNow } from '../native/mod.ts';
import { endWithOutput, reportError, usageError } from './output.ts';

/** Ends the process. */
export async function runProgram(program: Command): Promise<void> {
  throwInsteadOfExit(program, 'viaduct');
  endWithOutput();
  // What a command waits for may be a timer, and those of a Clock do not keep the process alive.
  const keptAlive = setInterval(() => {}, 2 ** 30);
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = reportError(error, process.argv.includes('--json'));
  } finally {
    clearInterval(keptAlive);
  }
  // Everything is closed by now. What still hangs (a look at a dead file system) must not hold the process.
  flushThenExit();
}

function throwInsteadOfExit(command: Command, path: string): void {
  command.exitOverride((error) => {
    throw usageError(error, path);
  });
  command.configureOutput({ outputError: () => {} });
  for (const child of command.commands) throwInsteadOfExit(child, `${path} ${child.name()}`);
}

function flushThenExit(): void {
  const end = (): void => {
    const isStuck = process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));
    if (isStuck) exitNow(Number(process.exitCode ?? 0));
    process.exit();
  };
  process.stdout.write('', () => process.stderr.write('', end));
}
