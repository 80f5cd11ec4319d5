/** `viaduct cache stat|verify`: what a cache directory holds, and whether all of it is right. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import {
  counted,
  formatDuration,
  formatSize,
  silentLog,
  systemClock,
  systemRandom,
  ViaductError,
} from '../base/mod.ts';
import { CleanCache } from '../cache/mod.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { notEmpty } from './values.ts';

interface CacheFlags {
  readonly json?: boolean;
}

const examples = `
Examples:
  viaduct cache stat /var/cache/viaduct
  viaduct cache verify /var/cache/viaduct     # exit code 3 if anything was damaged

The cache holds clean data only: what is damaged is dropped and fetched again.`;

export function cacheCommand(): Command {
  const command = new Command('cache').summary('look at a cache directory').description('Looks at a cache directory.');
  command.addHelpText('after', examples);
  command
    .command('stat')
    .description('show what a cache holds, also while it is in use')
    .argument('<directory>', 'what was given as --cache', notEmpty)
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  viaduct cache stat /var/cache/viaduct\n  viaduct cache stat /var/cache/viaduct --json | jq .validBytes',
    )
    .action(stat);
  command
    .command('verify')
    .description('read everything that is kept, check it, and drop what is damaged; the cache must not be in use')
    .argument('<directory>', 'what was given as --cache', notEmpty)
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  viaduct cache verify /var/cache/viaduct     # exit code 3 if anything was damaged',
    )
    .action(verify);
  return command;
}

function stat(directory: string, flags: CacheFlags): void {
  const { stat: counters, diskBytes, holder, writtenAtMs, damage } = CleanCache.readStat(existing(directory));
  if (flags.json === true) {
    printJson({
      directory: resolve(directory),
      diskBytes,
      holder: holder ?? null,
      writtenAt: writtenAtMs === 0 ? null : new Date(writtenAtMs).toISOString(),
      damage: damage ?? null,
      ...counters,
    });
    return;
  }
  const full = Math.round((100 * counters.framesUsed) / Math.max(1, counters.frameCount));
  printLine(`limit     ${formatSize(counters.sizeBytes)}, ${formatSize(diskBytes)} on the disk`);
  printLine(
    `holds     ${formatSize(counters.validBytes)} of ${counted(counters.filesUsed, 'file')}; ${full} % of ${counters.frameCount} frames`,
  );
  printLine(
    `reads     ${counters.hits} hits, ${counters.misses} misses, ${counters.evictions} evictions, ${counters.corruptSectors} damaged sectors`,
  );
  const age = writtenAtMs === 0 ? 'no counters yet' : `counters of ${formatDuration(Date.now() - writtenAtMs)} ago`;
  printLine(`in use    ${holder === undefined ? 'no' : `by process ${holder}`}; ${age}`);
  if (damage !== undefined) printLine(`damage    ${damage}; the next proxy forgets what it lost`);
}

async function verify(directory: string, flags: CacheFlags): Promise<void> {
  const path = existing(directory);
  const { sizeBytes } = CleanCache.readStat(path).stat;
  const cache = await CleanCache.open({
    directory: path,
    sizeBytes,
    clock: systemClock,
    log: silentLog,
    random: systemRandom,
  });
  try {
    const report = await cache.verify();
    if (flags.json === true)
      printJson({
        directory: path,
        goodSectors: report.goodSectors,
        badSectors: report.badSectors,
        indexDamage: report.indexDamage,
        banks: report.banks,
      });
    else {
      for (const damage of report.indexDamage) printLine(`${damage}: what it said is forgotten`);
      printLine(
        `${report.goodSectors} sectors are right, ${report.badSectors} were damaged${report.badSectors > 0 ? ' and have been dropped' : ''}`,
      );
    }
    if (report.badSectors > 0 || report.indexDamage.length > 0) process.exitCode = exitCodes.found;
  } finally {
    await cache.close();
  }
}

/** Looking at a cache must not make one. */
function existing(directory: string): string {
  const path = resolve(directory);
  if (existsSync(path)) return path;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${path} does not exist.`,
    remedy: 'Name the directory given to --cache.',
  });
}
