/** `viaduct image inspect`: what the meta-data of an image say, and whether they fit it. */
import { counted, formatSize } from '../base/mod.ts';
import { type InspectedImage, inspectImage, toBinary } from '../images/mod.ts';
import { printJson, printLine } from './output.ts';
import { printable } from './printable.ts';

interface InspectFlags {
  readonly with: readonly string[];
  readonly json?: boolean;
}

export async function inspect(file: string, flags: InspectFlags): Promise<void> {
  const found = await inspectImage(toBinary(file), { others: flags.with, signal: new AbortController().signal });
  if (flags.json === true) printJson(found);
  else for (const line of describe(found)) printLine(printable(line));
}

/** Apart from the printing, so that it can be tested. */
export function describe(found: InspectedImage): string[] {
  const { fit, sizeBytes, zeroBytes, dataBytes, distinctBytes, sharedBytes, siblings, metaBytes, headBytes } = found;
  return [
    `file      ${found.path}`,
    `fits      ${describeFit(fit)}`,
    `size      ${formatSize(sizeBytes)}; ${percent(zeroBytes, sizeBytes)} zero, ${formatSize(dataBytes)} data`,
    `chunks    ${formatSize(distinctBytes)} distinct (${percent(distinctBytes, dataBytes)} of the data); ${formatSize(sharedBytes)} of it (${percent(sharedBytes, distinctBytes)}) in other images`,
    ...siblings.map(({ path, chunks }) => `shared    ${formatSize(chunks * 4096)} with ${path}`),
    describePack(found),
    `meta-data ${formatSize(metaBytes)}, ${((100 * metaBytes) / Math.max(1, sizeBytes)).toFixed(2)} % of the file; head ${formatSize(headBytes)}`,
    ...(found.isWantedWhole ? ['wanted    whole: hosts that use it fetch all of it'] : []),
    ...found.workingSets.map(
      ({ purpose, blocks, runs, isCurrent }) =>
        `wanted    ${purpose}: ${formatSize(blocks * 65_536)} in ${counted(blocks, 'block')}, of ${counted(runs, 'run')}${isCurrent ? '' : '; of an older version of the file'}`,
    ),
  ];
}

export function describeFit({ stale, distrusted, packless }: InspectedImage['fit']): string {
  const reasons = [
    ...(stale === undefined ? [] : [`no: ${stale}`]),
    ...(distrusted === undefined ? [] : [`not believed: ${distrusted}`]),
    ...(packless === undefined ? [] : [`without the pack: ${packless}`]),
  ];
  return reasons.length === 0 ? 'yes' : reasons.join('; ');
}

function describePack({ pack, distinctBytes }: InspectedImage): string {
  if (pack === undefined) return 'pack      none: there is nothing but zeros';
  const { bytes, groups, smallest, median, largest, uncompressed } = pack;
  const sizes = `${formatSize(smallest)} to ${formatSize(largest)}, half of them below ${formatSize(median)}`;
  const plain = uncompressed === 0 ? '' : `; ${uncompressed} would not become smaller`;
  return `pack      ${formatSize(bytes)}, ${percent(bytes, distinctBytes)} of the chunks; ${counted(groups, 'group')} of ${sizes}${plain}`;
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.round((100 * part) / whole)} %`;
}
