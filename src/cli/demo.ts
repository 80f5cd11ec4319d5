/** `viaduct demo`: boots a guest whose disk lies at the far end of a slow link, in four ways, and prints the times. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { systemClock, ViaductError } from '../base/mod.ts';
import {
  type Accelerator,
  createReporter,
  formatTable,
  type GuestKind,
  guestKinds,
  prepareGuest,
  runStagesOutside,
  type StageName,
  stageNames,
} from '../demo/mod.ts';
import { formatRate, parseRate } from '../link/mod.ts';
import { outliveOutput } from './output.ts';
import { notEmpty } from './values.ts';

interface DemoFlags {
  readonly guest: GuestKind;
  readonly rtt: string;
  readonly rate: string;
  readonly only?: StageName[];
  readonly accelerator?: Accelerator;
  readonly guestCache?: string;
  readonly json?: boolean;
  readonly keep?: boolean;
}

const examples = `
Examples:
  viaduct demo                                        # a Debian guest, all four boots; minutes without KVM
  viaduct demo --guest busybox --only cold warm       # a small guest, and Viaduct only
  viaduct demo --rtt 100 --rate 50M --json            # another link, the result as JSON`;

export function demoCommand(): Command {
  return new Command('demo')
    .description('boot a guest from the far end of a simulated slow link: local, native NFS, Viaduct cold and warm')
    .addOption(new Option('--guest <kind>', 'the guest to boot').choices(guestKinds).default('debian'))
    .option('--rtt <milliseconds>', "the link's round-trip time", '40')
    .option('--rate <bits per second>', "the link's rate, with k, M or G", '100M')
    .addOption(
      new Option('--only <stages...>', 'only these boots; warm brings cold with it, which fills its cache').choices(
        stageNames,
      ),
    )
    .addOption(new Option('--accelerator <kind>', 'do not try whether KVM works').choices(['kvm', 'tcg']))
    .option('--guest-cache <folder>', 'where guests are kept (default: ~/.cache/viaduct/demo)', notEmpty)
    .option('--json', 'print the result as JSON')
    .option('--keep', 'keep the scratch folder with the proxy cache')
    .addHelpText('after', examples)
    .action((flags: DemoFlags) => demo(flags));
}

async function demo(flags: DemoFlags): Promise<void> {
  const roundTripMs = Number(flags.rtt);
  if (!(roundTripMs >= 0 && roundTripMs <= 10_000))
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `"${flags.rtt}" is not a round-trip time`,
      remedy: 'give milliseconds from 0 to 10000',
    });
  const bitsPerSecond = parseRate(flags.rate);
  const stages = stagesOf(flags.only);
  const abort = new AbortController();
  const stop = (): void => abort.abort(new Error('interrupted'));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  // Guests and scratch files are not left behind.
  outliveOutput(stop);
  const reporter = createReporter(process.stderr, systemClock);
  const scratch = await mkdtemp(join(tmpdir(), 'viaduct-demo-'));
  try {
    const guest = await prepareGuest({
      kind: flags.guest,
      cacheDirectory: flags.guestCache,
      signal: abort.signal,
      progress: reporter,
    });
    if (flags.only !== undefined && stages.some((stage) => flags.only?.includes(stage) === false))
      reporter.note('warm needs the cache that a cold boot leaves: cold is booted too');
    reporter.note(`link: ${roundTripMs} ms round trip, ${formatRate(bitsPerSecond)}`);
    const options = { guest, stages, roundTripMs, bitsPerSecond, scratch, accelerator: flags.accelerator };
    const results = await runStagesOutside(options, abort.signal, (event) => reporter.stage(event));
    reporter.close();
    if (flags.json === true) console.log(JSON.stringify({ guest: guest.kind, roundTripMs, bitsPerSecond, results }));
    else console.log(`\n${formatTable(results)}`);
  } catch (error) {
    reporter.close();
    if (!abort.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    if (flags.keep === true) reporter.note(`kept: ${scratch}`);
    else await rm(scratch, { recursive: true, force: true });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop);
  }
}

/** In their order. A warm boot is one on the cache that a cold boot left. */
function stagesOf(only: readonly StageName[] | undefined): StageName[] {
  if (only === undefined) return [...stageNames];
  return stageNames.filter((stage) => only.includes(stage) || (stage === 'cold' && only.includes('warm')));
}
