/** `viaduct image pack`: meta-data and packs of files and of all images in folders. */
import { statSync } from 'node:fs';
import { counted, formatSize, systemClock, systemRandom } from '../base/mod.ts';
import { findImages, type PackReport, packImage, toBinary } from '../images/mod.ts';
import { forEachFile, type WorkFlags } from './image-work.ts';
import { printJson, printLine, reportError } from './output.ts';
import { printable } from './printable.ts';

interface PackFlags extends WorkFlags {
  readonly with: readonly string[];
  readonly small?: boolean;
  readonly again?: boolean;
  readonly level?: number;
  readonly fetch?: 'whole' | 'auto';
}

export async function pack(paths: readonly string[], flags: PackFlags): Promise<void> {
  const outcomes = { packed: 0, current: 0 };
  const { failed, isInterrupted } = await forEachFile(imagesOf(paths, flags), flags, async (file, work) => {
    const report = await packImage(file, {
      ...work,
      clock: systemClock,
      random: systemRandom,
      others: flags.with,
      isAgain: flags.again === true,
      level: flags.level,
      isWantedWhole: flags.fetch === undefined ? undefined : flags.fetch === 'whole',
    });
    outcomes[report.outcome]++;
    if (flags.json === true) printJson({ kind: 'result', ...report });
    else printLine(printable(describePacked(report)));
  });
  if (isInterrupted) tellInterrupted(flags.json === true);
  const done = outcomes.packed + outcomes.current;
  if (flags.json === true || done + failed === 1 || isInterrupted) return;
  const already = outcomes.current === 0 ? '' : `, ${outcomes.current} had been before`;
  const not = failed === 0 ? '' : `, ${failed} could not be packed`;
  printLine(`${counted(outcomes.packed, 'image')} packed${already}${not}`);
}

function tellInterrupted(json: boolean): void {
  const message = 'interrupted; what was read and compressed is kept, and the next run goes on with it';
  process.stderr.write(json ? `${JSON.stringify({ kind: 'interrupted', message })}\n` : `viaduct: ${message}\n`);
}

/** Binary paths; a file that is named is wanted however small it is. */
function* imagesOf(paths: readonly string[], flags: PackFlags): Iterable<string> {
  for (const path of paths) {
    if (!isFolder(path)) {
      yield toBinary(path);
      continue;
    }
    const onError = (error: Error): void => {
      const code = reportError(error, flags.json === true);
      process.exitCode ??= code;
    };
    yield* findImages(toBinary(path), { isSmallWanted: flags.small === true, onError });
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Apart from the printing, so that it can be tested. */
export function describePacked(report: PackReport): string {
  const { path, outcome, sizeBytes, dataBytes, distinctBytes, sharedBytes, siblings, packBytes, metaBytes } = report;
  if (outcome === 'current') return `${path}: is packed already`;
  const zero = sizeBytes === 0 ? 0 : Math.max(0, 1 - dataBytes / sizeBytes);
  const shared =
    sharedBytes === 0 ? '' : ` (${formatSize(sharedBytes)} of it in ${counted(siblings.length, 'other image')} too)`;
  return `${path}: ${formatSize(sizeBytes)}, ${Math.round(100 * zero)} % zero, ${formatSize(distinctBytes)} distinct${shared}: pack ${formatSize(packBytes)}, meta-data ${formatSize(metaBytes)}`;
}
