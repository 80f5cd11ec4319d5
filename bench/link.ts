/**
 * A wide-area link on the command line.
 *
 *   bench/link.ts --listen 127.0.0.1:0 --target 127.0.0.1:2049 --rtt 40 --rate 100M --json
 *
 * Prints one line when it is ready, and its counters on SIGUSR2 and at its end (SIGINT, SIGTERM).
 */
import { Command } from 'commander';
import { silentLog, systemClock, ViaductError } from '../src/base/mod.ts';
import { type Endpoint, type LinkCounters, parseRate, startLink } from '../src/link/mod.ts';

interface Flags {
  readonly listen: string[];
  readonly target: string[];
  readonly rtt: string;
  readonly rate?: string;
  readonly json?: boolean;
}

const flags = new Command('link')
  .description('relay TCP as a wide-area link would carry it')
  .requiredOption('--listen <address:port...>', 'where to listen (port 0: any)')
  .requiredOption('--target <address:port...>', 'where to connect to, one for each --listen')
  .option('--rtt <milliseconds>', 'round-trip time', '40')
  .option('--rate <bits per second>', 'rate of each direction, with k, M or G')
  .option('--json', 'print JSON lines')
  .parse()
  .opts<Flags>();

try {
  const link = await startLink({
    routes: flags.listen.map((listen, index) => ({
      listen: endpoint(listen),
      target: endpoint(flags.target[index] ?? flags.target[0]!),
    })),
    roundTripMs: Number(flags.rtt),
    bitsPerSecond: flags.rate === undefined ? undefined : parseRate(flags.rate),
    clock: systemClock,
    log: silentLog,
  });
  const listening = link.addresses.map(({ host, port }) => `${host}:${port}`);
  print({ event: 'ready', listening }, `ready ${listening.join(' ')}`);
  const report = (): void => reportCounters(link.counters());
  process.on('SIGUSR2', report);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      report();
      void link.close().then(() => process.exit(0));
    });
} catch (error) {
  if (!(error instanceof ViaductError)) throw error;
  console.error(`link: ${error.message}; ${error.remedy}`);
  process.exitCode = 1;
}

function reportCounters(counters: LinkCounters): void {
  print(
    { event: 'counters', ...counters },
    `forward ${counters.forwardBytes} bytes, backward ${counters.backwardBytes} bytes, ` +
      `${counters.connectionsOpened} connections opened, ${counters.connectionsOpen} open`,
  );
}

function print(fields: object, text: string): void {
  console.log(flags.json === true ? JSON.stringify(fields) : text);
}

function endpoint(text: string): Endpoint {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match === null)
    throw new ViaductError('ADDRESS_INVALID', {
      cause: `"${text}" is not ADDRESS:PORT`,
      remedy: 'write it as 127.0.0.1:2049',
    });
  return { host: match[1]!, port: Number(match[2]) };
}
