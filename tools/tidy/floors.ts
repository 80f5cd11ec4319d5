/**
 * The floors (DESIGN of the house, drawn in ARCHITECTURE.md): a folder imports only folders of lower floors, and of other
 * folders only their face, `mod.ts`. This is the one table.
 */
import { folderOf, type Import, isTest, type Problem, type SourceFile, type Tree } from './source.ts';

export const floors: Readonly<Record<string, number>> = {
  'src/base': 0,
  'src/native': 0,
  'src/xdr': 1,
  'src/vfs': 1,
  'src/link': 1,
  'src/rpc': 2,
  'src/cache': 2,
  'src/dirty': 2,
  'src/content': 2,
  'src/policy': 2,
  'src/nfs3': 3,
  'src/mount3': 3,
  'src/portmap': 3,
  'src/channel': 3,
  'src/layers': 4,
  'src/origins': 4,
  'src/sessions': 5,
  'src/images': 5,
  'src/vm': 6,
  'src/config': 6,
  'src/control': 6,
  'src/demo': 7,
  'src/daemon': 7,
  'src/cli': 8,
};

/** Pairs of one floor that may meet, with the reason. */
const neighbours: Readonly<Record<string, string>> = {
  'src/native > src/base': 'native calls report operating errors and check assertions',
  'src/channel > src/nfs3':
    'WRITE_IF and SETATTR_IF are WRITE and SETATTR with a condition: one codec, one set of checks',
  'src/vfs > src/xdr': 'none of the two knows RPC; byte strings are shared',
};

/** Beside the floors: simulated clocks, disks and networks, and the suites. Only tests and benches import it. */
const testing = 'src/testing';

export function checkFloors(tree: Tree): Problem[] {
  const problems: Problem[] = [];
  for (const file of tree.files.values()) {
    const folder = folderOf(file.path);
    if (folder.startsWith('src/') && folder !== testing && floors[folder] === undefined) {
      problems.push(error(file, 1, `${folder} has no floor; add it to tools/tidy/floors.ts`));
    }
    for (const entry of file.imports) {
      const message = complaint(tree, file, entry);
      if (message !== undefined) problems.push(error(file, entry.line, message));
    }
  }
  return problems;
}

function complaint(tree: Tree, file: SourceFile, entry: Import): string | undefined {
  if (entry.path === undefined) return undefined;
  if (entry.path.endsWith('.ts') && !tree.files.has(entry.path)) return `imports ${entry.path}, which does not exist`;
  const from = folderOf(file.path);
  const to = folderOf(entry.path);
  if (from === to) return undefined;
  const fromTest = isTest(file.path);
  if (to === testing && !fromTest && !file.path.startsWith('bench/') && from !== testing) {
    return 'only tests and benches import src/testing';
  }
  if (to.startsWith('src/') && !entry.path.endsWith('/mod.ts') && !entry.isProgram) {
    return `imports ${entry.path} past its face; import ${to}/mod.ts`;
  }
  if (fromTest || from === testing || !from.startsWith('src/')) return undefined;
  if (!to.startsWith('src/') && entry.path.endsWith('.ts')) return `sources import no ${to}`;
  const lower = floors[to];
  const upper = floors[from];
  if (lower === undefined || upper === undefined) return undefined;
  if (lower < upper || `${from} > ${to}` in neighbours) return undefined;
  return `floor ${upper} (${from}) imports floor ${lower} (${to}); imports point down only`;
}

function error(file: SourceFile, line: number, message: string): Problem {
  return { path: file.path, line, message, severity: 'error' };
}
