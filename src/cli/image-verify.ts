/** `viaduct image verify`: all that meta-data and pack say, compared with the image. */
import { counted, formatSize } from '../base/mod.ts';
import { toBinary, type VerifyReport, verifyImage } from '../images/mod.ts';
import { describeFit } from './image-inspect.ts';
import { forEachFile, type WorkFlags } from './image-work.ts';
import { exitCodes, printJson, printLine } from './output.ts';

export async function verify(files: readonly string[], flags: WorkFlags): Promise<void> {
  await forEachFile(files.map(toBinary), flags, async (file, work) => {
    const report = await verifyImage(file, work);
    if (flags.json === true) printJson({ kind: 'result', ...report });
    else for (const line of describeVerified(report)) printLine(line);
    if (!report.isRight) process.exitCode ??= exitCodes.found;
  });
}

/** Apart from the printing, so that it can be tested. */
export function describeVerified(report: VerifyReport): string[] {
  const { path, fit, wrongSectors, firstWrong, damagedPages, damagedGroups, checkedBytes, checkedGroups } = report;
  if (report.isRight)
    return [`${path}: right: ${formatSize(checkedBytes)} and ${counted(checkedGroups, 'group')} of the pack`];
  const wrong = `${counted(wrongSectors, 'sector')} of the file ${wrongSectors === 1 ? 'is' : 'are'} not what the meta-data say, the first at byte ${4096 * (firstWrong ?? 0)}`;
  return [
    ...(Object.keys(fit).length === 0 ? [] : [`fits: ${describeFit(fit)}`]),
    ...(wrongSectors === 0 ? [] : [wrong]),
    ...(damagedPages.length === 0 ? [] : [`${counted(damagedPages.length, 'page')} of the meta-data damaged`]),
    ...(damagedGroups.length === 0 ? [] : [`${counted(damagedGroups.length, 'group')} of the pack damaged`]),
  ].map((line) => `${path}: ${line}`);
}
