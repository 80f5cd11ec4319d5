/**
 * The program: runs the command that is asked for, and turns what goes wrong into one message and an exit code.
 *
 * A daemon that starts again has clients who wait: what takes it long begins before the rest is loaded (daemon/begin.ts), and of the
 * commands its own alone is.
 */
import { argv } from 'node:process';

const isDaemon = argv[2] === 'daemon' && !argv.includes('--help') && !argv.includes('-h');
const begun = isDaemon ? (await import('./daemon/begin.ts')).beginDaemon() : undefined;
const program =
  begun === undefined
    ? (await import('./program.ts')).createProgram()
    : (await import('./daemon.ts')).daemonProgram(begun);
const { runProgram } = await import('./run-program.ts');
await runProgram(program);
