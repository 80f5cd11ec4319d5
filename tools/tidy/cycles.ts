/** Import cycles between files and between folders (Tarjan's strongly connected components, without recursion limits in sight). */
import { folderOf, isTest, type Problem, type Tree } from './source.ts';

type Graph = Map<string, Set<string>>;

export function checkCycles(tree: Tree): Problem[] {
  const files: Graph = new Map();
  const folders: Graph = new Map();
  for (const file of tree.files.values()) {
    const targets = new Set<string>();
    files.set(file.path, targets);
    for (const entry of file.imports) {
      if (entry.path === undefined || entry.isProgram || !tree.files.has(entry.path)) continue;
      targets.add(entry.path);
      // A test may look at any folder, which makes no cycle of the folders themselves.
      if (isTest(file.path) || folderOf(file.path) === 'src/testing') continue;
      const from = folderOf(file.path);
      const to = folderOf(entry.path);
      if (from === to) continue;
      if (!folders.has(from)) folders.set(from, new Set());
      folders.get(from)!.add(to);
    }
  }
  return [...problemsOf(files, 'files'), ...problemsOf(folders, 'folders')];
}

function problemsOf(graph: Graph, kind: string): Problem[] {
  return componentsOf(graph).map((component) => ({
    path: component[0]!,
    line: 1,
    message: `import cycle of ${kind}: ${[...component, component[0]].join(' > ')}`,
    severity: 'error',
  }));
}

/** Components with more than one member, and members that import themselves. */
function componentsOf(graph: Graph): string[][] {
  const found: string[][] = [];
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const onStack = new Set<string>();
  const visit = (node: string): void => {
    order.set(node, order.size);
    low.set(node, order.get(node)!);
    stack.push(node);
    onStack.add(node);
    for (const next of graph.get(node) ?? []) {
      if (!order.has(next)) {
        visit(next);
        low.set(node, Math.min(low.get(node)!, low.get(next)!));
      } else if (onStack.has(next)) {
        low.set(node, Math.min(low.get(node)!, order.get(next)!));
      }
    }
    if (low.get(node) !== order.get(node)) return;
    const component = stack.splice(stack.indexOf(node));
    for (const member of component) onStack.delete(member);
    if (component.length > 1 || graph.get(node)?.has(node)) found.push(component.sort());
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return found;
}
