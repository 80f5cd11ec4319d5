/**
 * Documents are checked: relative links lead somewhere, the headings behind `#` exist, `npm run` names a script, `viaduct`
 * names a command, files that are named exist, and so do tests that are named: `test/some.test.ts` "title of a test".
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { lineAt, type Problem, type Tree } from './source.ts';

export function checkDocuments(tree: Tree): Problem[] {
  const { root } = tree;
  const pages = [
    ...globSync('*.md', { cwd: root }),
    ...globSync('docs/**/*.md', { cwd: root }),
    ...globSync('bench/*.md', { cwd: root }),
  ];
  const scripts = scriptsOf(root);
  const commands = commandsOf(root);
  return pages.sort().flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const report = (offset: number, message: string): Problem => ({
      path: page,
      line: lineAt(text, offset),
      message,
      severity: 'error',
    });
    return [
      ...checkLinks(root, page, text, report),
      ...checkCommands(root, text, scripts, commands, report),
      ...checkTests(root, text, report),
    ];
  });
}

type Report = (offset: number, message: string) => Problem;

function checkLinks(root: string, page: string, text: string, report: Report): Problem[] {
  const problems: Problem[] = [];
  for (const match of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    const target = match[1]!;
    if (/^[a-z]+:/.test(target)) continue;
    const [path, anchor] = target.split('#');
    const file = path === '' ? join(root, page) : join(root, dirname(page), path!);
    if (!existsSync(file)) {
      problems.push(report(match.index, `the link ${target} leads nowhere`));
    } else if (anchor !== undefined && file.endsWith('.md') && !anchorsOf(readFileSync(file, 'utf8')).has(anchor)) {
      problems.push(report(match.index, `${relative(root, file)} has no heading for #${anchor}`));
    }
  }
  return problems;
}

function anchorsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].map((match) => match[1]!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );
}

function checkCommands(
  root: string,
  text: string,
  scripts: Set<string>,
  commands: Set<string>,
  report: Report,
): Problem[] {
  const problems: Problem[] = [];
  for (const match of text.matchAll(/`[^`\n]+`|^```(?:sh|console)\n[\s\S]*?^```/gm)) {
    const code = match[0];
    for (const run of code.matchAll(/\bnpm run (?:--\S+ )*([\w:-]+)/g)) {
      if (!scripts.has(run[1]!)) problems.push(report(match.index, `package.json has no script "${run[1]}"`));
    }
    for (const run of code.matchAll(/(?:^|[`\n$/] ?|sudo )viaduct ([a-z]+)\b/g)) {
      if (commands.size > 0 && !commands.has(run[1]!))
        problems.push(report(match.index, `there is no command "viaduct ${run[1]}"`));
    }
    for (const run of code.matchAll(/(?:^|[`\s])((?:src|tools|test|bench|bin|docs)\/[\w./-]+\.(?:ts|sh|md))\b/g)) {
      if (!existsSync(join(root, run[1]!))) problems.push(report(match.index, `${run[1]} does not exist`));
    }
  }
  return problems;
}

/** A claim that names its test has one: the title stands letter by letter in that file. */
function checkTests(root: string, text: string, report: Report): Problem[] {
  const problems: Problem[] = [];
  for (const match of text.matchAll(/`([\w./-]+\.(?:test|proof)\.ts)`:? "([^"\n]+)"/g)) {
    const [, path, title] = match;
    const file = join(root, path!);
    if (existsSync(file) && !readFileSync(file, 'utf8').includes(`'${title}'`))
      problems.push(report(match.index, `${path} has no test "${title}"`));
  }
  return problems;
}

function scriptsOf(root: string): Set<string> {
  const path = join(root, 'package.json');
  if (!existsSync(path)) return new Set();
  const manifest: { scripts?: Record<string, string> } = JSON.parse(readFileSync(path, 'utf8'));
  return new Set(Object.keys(manifest.scripts ?? {}));
}

/** The commands that src/cli registers: `new Command('serve')`, `.command('stat')`. */
function commandsOf(root: string): Set<string> {
  const names = ['help', 'version'];
  for (const path of globSync('src/cli/*.ts', { cwd: root })) {
    for (const match of readFileSync(join(root, path), 'utf8').matchAll(/\b(?:new Command|\.command)\('(\w+)/g))
      names.push(match[1]!);
  }
  return new Set(names.length > 2 ? names : []);
}
