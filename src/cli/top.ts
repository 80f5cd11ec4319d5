/** `viaduct top`: what the sessions of the daemon do, drawn again and again on a terminal; lines for everything else. */
import { constants } from 'node:os';
import { Command, Option } from 'commander';
import { parseDuration, sleep, systemClock, ViaductError } from '../base/mod.ts';
import type { DaemonPort } from './daemon-port.ts';
import { withDaemon } from './daemon-reach.ts';
import { printJson, printLine } from './output.ts';
import { frameOf, type Look, type Order, orders, ratesOf } from './top/frame.ts';
import { Screen } from './top/screen.ts';

interface TopFlags {
  readonly interval: string;
  readonly sort: Order;
  readonly once?: boolean;
  readonly json?: boolean;
}

const help = `
HITS is the share of reads since the last line that the cache answered; READ and WRITTEN are what clients moved, IN and OUT what crossed the
link, all a second; DIRTY is what the origin does not have yet, OLDEST how old the oldest of it is.

Keys: q or ^C ends it; n h r w i o d s sort by name, hits, read, written, in, out, dirty, state.
Where the output is no terminal, or a dumb one, it prints the table each time.

Examples:
  viaduct top
  viaduct top --once                       # rates over one interval, for a look or a script
  viaduct top --json --interval 10s | jq '.sessions[] | {name, inRate, dirtyBytes}'`;

export function topCommand(): Command {
  return new Command('top')
    .summary('watch what the sessions of the daemon do')
    .description(
      'Shows the sessions of the daemon as they work: hit rates, what crosses the link, what is not at the origin yet.',
    )
    .option('--interval <time>', 'how often it looks', '2s')
    .addOption(new Option('--sort <by>', 'what comes first').choices(Object.values(orders)).default('in'))
    .option('--once', 'print one table, and end')
    .option('--json', 'print a line of JSON each time')
    .addHelpText('after', help)
    .action(async (flags: TopFlags) => {
      // Between two looks nothing else keeps the process alive.
      const keptAlive = setInterval(() => {}, 2 ** 30);
      await withDaemon((daemon) => top(daemon, flags)).finally(() => clearInterval(keptAlive));
    });
}

async function top(daemon: DaemonPort, flags: TopFlags): Promise<void> {
  const intervalMs = parseDuration(flags.interval, '--interval');
  if (intervalMs < 100)
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `--interval ${flags.interval}: this is shorter than a look takes.`,
      remedy: 'Give at least 100ms.',
    });
  const { stdout, stdin } = process;
  const isScreen = flags.json !== true && flags.once !== true && stdout.isTTY && process.env.TERM !== 'dumb';
  if (!isScreen) return await printTables(daemon, flags, intervalMs);
  await new Promise<void>((resolve, reject) => {
    const live = new LiveView(daemon, { order: flags.sort, intervalMs, input: stdin, output: stdout, resolve, reject });
    live.begin();
  });
}

async function lookAt(daemon: DaemonPort): Promise<Look> {
  const [views, samples, threads] = await Promise.all([daemon.list(), daemon.samples(), daemon.threads()]);
  return { daemon: daemon.pid, views, samples, threads };
}

/** Until the reader is gone, or for one time. */
async function printTables(daemon: DaemonPort, flags: TopFlags, intervalMs: number): Promise<void> {
  let before = await lookAt(daemon);
  do {
    await sleep(systemClock, intervalMs);
    const now = await lookAt(daemon);
    const rows = ratesOf(before, now);
    if (flags.json === true) {
      const time = new Date(systemClock.wallTimeMs()).toISOString();
      printJson({ time, daemon: now.daemon, sessions: rows, threads: now.threads });
    } else {
      for (const line of frameOf(now, rows, { order: flags.sort }).lines) printLine(line);
      if (flags.once !== true) printLine('');
    }
    before = now;
  } while (flags.once !== true);
}

interface LiveOptions {
  readonly order: Order;
  readonly intervalMs: number;
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  resolve(): void;
  reject(error: unknown): void;
}

const ending = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

class LiveView {
  readonly #daemon: DaemonPort;
  readonly #options: LiveOptions;
  readonly #screen: Screen;
  #order: Order;
  #before: Look | undefined;
  #now: Look | undefined;
  #isOver = false;

  constructor(daemon: DaemonPort, options: LiveOptions) {
    this.#daemon = daemon;
    this.#options = options;
    this.#order = options.order;
    const { input, output } = options;
    this.#screen = new Screen({ input, output, onKey: (key) => this.#take(key), onResize: () => this.#draw() });
    for (const signal of ending) process.once(signal, () => this.#end(signal));
  }

  begin(): void {
    this.#watch().catch((error: unknown) => {
      this.#isOver = true;
      this.#screen.close();
      this.#options.reject(error);
    });
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      const now = await lookAt(this.#daemon);
      this.#before = this.#now;
      this.#now = now;
      this.#draw();
      await sleep(systemClock, this.#options.intervalMs);
    }
  }

  #draw(): void {
    if (this.#now === undefined || this.#isOver) return;
    const rows = ratesOf(this.#before, this.#now);
    const { columns, rows: height } = this.#screen;
    const { lines, head } = frameOf(this.#now, rows, { order: this.#order, columns, rows: height });
    this.#screen.draw(lines, head);
  }

  #take(key: string): void {
    if (key === 'q' || key === '\x03') this.#end();
    else if (Object.hasOwn(orders, key)) {
      this.#order = orders[key as keyof typeof orders];
      this.#draw();
    }
  }

  #end(signal?: (typeof ending)[number]): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#screen.close();
    if (signal === 'SIGTERM' || signal === 'SIGHUP') process.exitCode = 128 + constants.signals[signal];
    this.#options.resolve();
  }
}
