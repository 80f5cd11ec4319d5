/** `viaduct image verify`: all that meta-data and pack say, compared with the image. */
import { counted, formatSize } from '../base/mod.ts';
import { toBinary, type VerifyReport, verifyImage } from '../images/mod.ts';
import { describeFit } from './image-inspect.ts';
import { forEachFile, type WorkFlags } from './image-work.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { printable } from './printable.ts';
import { quoted } from './session-end.ts';

export async function verify(files: readonly string[], flags: WorkFlags): Promise<void> {
  await forEachFile(files.map(toBinary), flags, async (file, work) => {
    const report = await verifyImage(file, work);
    if (flags.json === true) printJson({ kind: 'result', ...report });
    else for (const line of describeVerified(report)) printLine(printable(line));
    if (!report.isRight) process.exitCode ??= exitCodes.found;
  });
}

/** What fits and is damaged is passed over by a packer that is not told otherwise. */
function remedyOf({ path, fit, unusable, wrongSectors, damagedPages, damagedGroups }: VerifyReport): string {
  const isDamaged = wrongSectors + damagedPages.length + damagedGroups.length > 0;
  const isPassedOver = unusable === undefined && Object.keys(fit).length === 0;
  if (unusable === undefined && !isDamaged && fit.packless === undefined)
    return `stamp the meta-data anew: viaduct image adopt ${quoted(path)}`;
  return `make them anew: viaduct image pack ${isPassedOver ? '--again ' : ''}${quoted(path)}`;
}

/** Apart from the printing, so that it can be tested. */
export function describeVerified(report: VerifyReport): string[] {
  const { path, fit, wrongSectors, firstWrong, damagedPages, damagedGroups, checkedBytes, checkedGroups } = report;
  if (report.isRight)
    return [`${path}: right: ${formatSize(checkedBytes)} and ${counted(checkedGroups, 'group')} of the pack`];
  if (report.unusable !== undefined)
    return [`the meta-data cannot be used: ${report.unusable}`, remedyOf(report)].map((line) => `${path}: ${line}`);
  const wrong = `${counted(wrongSectors, 'sector')} of the file ${wrongSectors === 1 ? 'is' : 'are'} not what the meta-data say, the first at byte ${4096 * (firstWrong ?? 0)}`;
  return [
    ...(Object.keys(fit).length === 0 ? [] : [`fits: ${describeFit(fit)}`]),
    ...(wrongSectors === 0 ? [] : [wrong]),
    ...(damagedPages.length === 0 ? [] : [`${counted(damagedPages.length, 'page')} of the meta-data damaged`]),
    ...(damagedGroups.length === 0 ? [] : [`${counted(damagedGroups.length, 'group')} of the pack damaged`]),
    remedyOf(report),
  ].map((line) => `${path}: ${line}`);
}
