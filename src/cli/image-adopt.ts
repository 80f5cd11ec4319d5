/** `viaduct image adopt`: the same meta-data for the same bytes, after a copy, chmod or touch. */
import { counted, systemClock, systemRandom } from '../base/mod.ts';
import { type AdoptReport, adoptImage, toBinary } from '../images/mod.ts';
import { forEachFile, type WorkFlags } from './image-work.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { printable } from './printable.ts';

export async function adopt(files: readonly string[], flags: WorkFlags): Promise<void> {
  await forEachFile(files.map(toBinary), flags, async (file, work) => {
    const report = await adoptImage(file, { ...work, clock: systemClock, random: systemRandom });
    if (flags.json === true) printJson({ kind: 'result', ...report });
    else printLine(printable(describeAdopted(report)));
    if (report.outcome === 'different') process.exitCode ??= exitCodes.found;
  });
}

/** Apart from the printing, so that it can be tested. */
export function describeAdopted({ path, outcome, wrongSectors, firstWrong, damagedPages }: AdoptReport): string {
  switch (outcome) {
    case 'adopted':
      return `${path}: adopted: its bytes are those that the meta-data say`;
    case 'current':
      return `${path}: the meta-data fit already`;
    case 'different': {
      const pages =
        damagedPages.length === 0 ? '' : `, ${counted(damagedPages.length, 'page')} of the meta-data damaged`;
      return `${path}: not adopted: ${counted(wrongSectors, 'sector')} not what the meta-data say, the first at byte ${4096 * (firstWrong ?? 0)}${pages}; pack it: viaduct image pack`;
    }
  }
}
