/** The demo's result as a table of text. */
import type { StageName, StageResult } from './stages.ts';

const titles: Readonly<Record<StageName, string>> = {
  local: 'local file',
  native: 'native NFS over the link',
  cold: 'Viaduct, cold cache',
  warm: 'Viaduct, warm cache',
};

export function stageTitle(stage: StageName): string {
  return titles[stage];
}

export function formatTable(results: readonly StageResult[]): string {
  const local = results.find((result) => result.stage === 'local');
  const rows = results.map((result) => [
    titles[result.stage],
    (result.elapsedMs / 1000).toFixed(1),
    local === undefined ? '-' : `${(result.elapsedMs / local.elapsedMs).toFixed(2)}x`,
    megabytes(result.downBytes),
    megabytes(result.upBytes),
  ]);
  const all = [['boot', 'seconds', 'to local', 'MB down', 'MB up'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1);
}
