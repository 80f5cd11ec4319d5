/** All commands, one file each, as one tree: what runs them (main.ts), completes them and writes their manual pages starts from it. */
import { Command } from 'commander';
import { cacheCommand } from './cache.ts';
import { completionCommand } from './completion.ts';
import { configCommand } from './config.ts';
import { conflictsCommand } from './conflicts.ts';
import { daemonCommand } from './daemon.ts';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { exitCodesText } from './exit-codes.ts';
import { imageCommand } from './image.ts';
import { leaseCommand } from './lease.ts';
import { logCommand } from './log.ts';
import { manCommand } from './man.ts';
import { mountCommand } from './mount.ts';
import { policyCommand } from './policy.ts';
import { proxyCommand } from './proxy.ts';
import { redirectCommand } from './redirect.ts';
import { serveCommand } from './serve.ts';
import { sessionCommand } from './session.ts';
import { packageVersion } from './session-command.ts';
import { statusCommand } from './status.ts';
import { topCommand } from './top.ts';
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

${exitCodesText()}`;

/** Commands of it can be parsed once. */
export function createProgram(): Command {
  const program = new Command('viaduct')
    .description('Boots, resumes and clones far-away virtual machines as if their images were local.')
    .version(packageVersion())
    .addHelpText('after', examples);
  for (const command of [
    serveCommand(),
    proxyCommand(),
    mountCommand(),
    daemonCommand(),
    sessionCommand(),
    statusCommand(),
    topCommand(),
    warmCommand(),
    writebackCommand(),
    conflictsCommand(),
    redirectCommand(),
    leaseCommand(),
    imageCommand(),
    cacheCommand(),
    configCommand(),
    policyCommand(),
    logCommand(),
    doctorCommand(),
    demoCommand(),
    completionCommand(createProgram),
    manCommand(createProgram),
  ]) {
    program.addCommand(command);
  }
  return program;
}
