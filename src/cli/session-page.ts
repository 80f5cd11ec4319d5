/** `viaduct session page`: where a browser finds the page of the daemon, with the token that lets it in. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { systemCode, ViaductError } from '../base/mod.ts';
import type { DaemonPort } from './daemon-port.ts';
import { withDaemon } from './daemon-reach.ts';
import { printJson, printLine } from './output.ts';

const help = `
The daemon shows it where its API listens on TCP: \`daemon: api: tcp\` in viaduct.yaml, or \`viaduct daemon --api 127.0.0.1:7446\`. Whoever has the
address may do all that the daemon does. From another host, have ssh bring the port: ssh -L 7446:127.0.0.1:7446 HOST.

Examples:
  viaduct session page
  xdg-open "$(viaduct session page)"`;

export function addPage(command: Command): void {
  command
    .command('page')
    .description('print the address of the page that shows them in a browser')
    .option('--json', 'print as JSON')
    .addHelpText('after', help)
    .action((flags: { json?: boolean }) =>
      withDaemon(async (daemon) => {
        const url = pageAddress(daemon);
        if (flags.json === true) printJson({ url });
        else printLine(url);
      }),
    );
}

export function pageAddress({ page }: Pick<DaemonPort, 'page'>): string {
  if (page === undefined)
    throw new ViaductError('DAEMON_UNREACHABLE', {
      cause: 'the daemon shows no page: its API does not listen on TCP.',
      remedy:
        'Add `api: { tcp: 127.0.0.1:7446, token-file: FILE }` below `daemon` in viaduct.yaml, or start it with --api 127.0.0.1:7446.',
    });
  const { url, tokenFile } = page;
  // What listens everywhere is found here.
  const reached = url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
  return `${reached}/#token=${encodeURIComponent(tokenIn(tokenFile))}`;
}

function tokenIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new ViaductError('PRIVILEGE_NEEDED', {
      cause: `the token of the page cannot be read from ${file} (${systemCode(error) ?? String(error)}).`,
      remedy: 'Run this as the user of the daemon.',
      from: error,
    });
  }
}
