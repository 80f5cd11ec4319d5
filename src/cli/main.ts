/** The program: registers the commands, one file each, and turns what goes wrong into one message and an exit code. */
import { Command } from 'commander';
import { exitNow } from '../native/mod.ts';
import { cacheCommand } from './cache.ts';
import { conflictsCommand } from './conflicts.ts';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { imageCommand } from './image.ts';
import { leaseCommand } from './lease.ts';
import { logCommand } from './log.ts';
import { mountCommand } from './mount.ts';
import { endWithOutput, reportError, usageError } from './output.ts';
import { proxyCommand } from './proxy.ts';
import { redirectCommand } from './redirect.ts';
import { serveCommand } from './serve.ts';
import { packageVersion } from './session-command.ts';
import { statusCommand } from './status.ts';
import { warmCommand } from './warm.ts';
import { writebackCommand } from './writeback.ts';

const examples = `
Start here:
  viaduct doctor          # what works on this machine, and what to do about the rest
  viaduct demo            # boot a virtual machine from far away, four ways

At the image store (or any NFSv3 server):
  viaduct serve /srv/images --listen 0.0.0.0 --allow 192.0.2.0/24 --read-only     # the network that you trust
At the compute host:
  viaduct proxy nfs://store.example/ --listen 127.0.0.2 --cache /var/cache/viaduct
  qemu-system-x86_64 -snapshot -drive file=nfs://127.0.0.2/golden/disk.raw,format=raw ...

Exit codes: 0 done, 1 operating error, 2 not understood, 3 doctor or verify found something, 4 not written back (conflict, or refused),
5 write lease lost, 6 a time ran out, 69 no Node.js 24 or no packages, 70 a bug, 130 and 143 ended by SIGINT and SIGTERM before all was
done, 141 nobody reads what it prints any more. Codes: docs/errors.md.`;

const program = new Command('viaduct')
  .description('Boots, resumes and clones far-away virtual machines as if their images were local.')
  .version(packageVersion())
  .addHelpText('after', examples);
for (const command of [
  serveCommand(),
  proxyCommand(),
  mountCommand(),
  statusCommand(),
  warmCommand(),
  writebackCommand(),
  conflictsCommand(),
  redirectCommand(),
  leaseCommand(),
  imageCommand(),
  cacheCommand(),
  logCommand(),
  doctorCommand(),
  demoCommand(),
]) {
  program.addCommand(command);
}
throwInsteadOfExit(program, 'viaduct');

endWithOutput();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportError(error, process.argv.includes('--json'));
}
// Everything is closed by now. What still hangs (a look at a dead file system) must not hold the process.
flushThenExit();

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
