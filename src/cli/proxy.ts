/** `viaduct proxy`: an origin as an NFSv3 server of this host, with a disk cache that survives. */
import { Command } from 'commander';
import { parseListen } from '../sessions/mod.ts';
import { holdChoice, holdHelp } from './held-request.ts';
import { addProxyOptions, listenName, type ProxyFlags, proxyPlan } from './proxy-options.ts';
import { addSessionOptions, runSession } from './session-command.ts';
import { notEmpty } from './values.ts';
import { writeHelp } from './write-options.ts';

const examples = `
Examples:
  viaduct proxy nfs://store.example/images --listen 127.0.0.2 --cache /var/cache/viaduct --cache-size 20G
      then: qemu-system-x86_64 ... -drive file=nfs://127.0.0.2/golden/disk.raw,format=raw
  viaduct proxy nfs://10.0.0.7:2049/?mountport=2049 --listen 127.0.0.1:20049 --cache /tmp/cache
      an origin without a portmapper, and a session without one
  viaduct proxy nfs://store.example/ --listen 127.0.0.3 --cache /var/cache/vm7 --policy write-back --dirty-limit 20G
      a VM writes at the speed of this host's disk; \`viaduct writeback --wait\` returns when the origin has all of it
${writeHelp}

ORIGIN is a directory or nfs://host[:port]/path[?mountport=PORT&connections=N&privileged-port=yes|no].
It must answer when a proxy for it starts for the first time; later ones start with what is remembered. Without a portmapper (ADDR:PORT) the ready line's URL is for libnfs programs: QEMU does not
take its ?nfsport=, so give QEMU a session on an ADDR of its own. Another --cache-size starts the cache anew.
${holdHelp}`;

export function proxyCommand(): Command {
  const command = new Command('proxy')
    .summary('serve a far-away origin from a local disk cache')
    .description(
      'Serves an origin over NFSv3 on this host and keeps what was read in a disk cache that survives restarts.',
    )
    .argument('<origin>', 'a directory or nfs://host[:port]/path[?mountport=PORT]')
    .requiredOption('--listen <address>', 'ADDR: NFS and MOUNT on 2049, portmapper on 111; ADDR:PORT: that port only')
    .requiredOption('--cache <directory>', 'where the cache is kept; one directory for each proxy', notEmpty);
  return addSessionOptions(addProxyOptions(command))
    .addHelpText('after', examples)
    .action((origin: string, flags: ProxyFlags & { listen: string }) => {
      const listen = parseListen(flags.listen);
      const plan = proxyPlan(origin, listen, flags, listenName(listen));
      return runSession({ command: 'proxy', plan, flags, hold: holdChoice(command, plan, flags.listen) });
    });
}
