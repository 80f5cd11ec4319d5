/** The program: registers the commands, one file each, and turns what goes wrong into one message and an exit code. */
import { Command } from 'commander';
import { cacheCommand } from './cache.ts';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { mountCommand } from './mount.ts';
import { reportError } from './output.ts';
import { proxyCommand } from './proxy.ts';
import { serveCommand } from './serve.ts';
import { packageVersion } from './session-command.ts';
import { statusCommand } from './status.ts';

const examples = `
Start here:
  viaduct doctor                                    what works on this machine, and what to do about the rest
  viaduct demo                                      boot a virtual machine from far away, four ways
  viaduct serve /srv/images --listen 127.0.0.3      at the image store
  viaduct proxy nfs://127.0.0.3/ --listen 127.0.0.2 --cache /var/cache/viaduct     at the compute host
  qemu-system-x86_64 -drive file=nfs://127.0.0.2/golden/disk.raw,format=raw ...

Exit codes: 0 done, 1 operating error, 2 not understood, 3 doctor or verify found something, 70 a bug. Codes: docs/errors.md.`;

const program = new Command('viaduct')
  .description('Boots, resumes and clones far-away virtual machines as if their images were local.')
  .version(packageVersion())
  .addHelpText('after', examples)
  .showHelpAfterError('(run with --help for usage and examples)');
for (const command of [
  serveCommand(),
  proxyCommand(),
  mountCommand(),
  statusCommand(),
  cacheCommand(),
  doctorCommand(),
  demoCommand(),
]) {
  program.addCommand(command);
}
throwInsteadOfExit(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportError(error, process.argv.includes('--json'));
}
// Everything is closed by now. What still hangs (a look at a dead file system) must not hold the process.
flushThenExit();

function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwInsteadOfExit(child);
}

function flushThenExit(): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit()));
}
