/** Dead files: sources that no program, tool, bench or test reaches by imports. */
import { isTest, type Problem, type Tree } from './source.ts';

export function checkDeadFiles(tree: Tree): Problem[] {
  const programs = [...tree.files.keys()].filter((path) => path === 'src/cli/main.ts' || /^(tools|bench)\//.test(path));
  const tests = [...tree.files.keys()].filter(isTest);
  const used = reach(tree, programs);
  const tested = reach(tree, [...programs, ...tests]);
  const problems: Problem[] = [];
  for (const file of tree.files.values()) {
    if (!file.path.startsWith('src/') || isTest(file.path) || used.has(file.path)) continue;
    if (!tested.has(file.path)) {
      problems.push({
        path: file.path,
        line: 1,
        message: 'no program and no test reaches this file',
        severity: 'error',
      });
    } else if (!file.path.startsWith('src/testing/')) {
      problems.push({ path: file.path, line: 1, message: 'only tests reach this file', severity: 'warning' });
    }
  }
  return problems;
}

function reach(tree: Tree, entries: readonly string[]): Set<string> {
  const seen = new Set<string>(entries);
  const queue = [...entries];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    for (const entry of tree.files.get(path)?.imports ?? []) {
      if (entry.path === undefined || seen.has(entry.path) || !tree.files.has(entry.path)) continue;
      seen.add(entry.path);
      queue.push(entry.path);
    }
  }
  return seen;
}
