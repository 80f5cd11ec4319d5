/**
 * The source files that tidy looks at, read once. A file has three views of equal length, so that offsets and line numbers
 * agree: `text` as it is, `words` without comments, `code` without comments and without what is inside strings.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export interface Specifier {
  /** What stands between the quotes. */
  readonly text: string;
  /** Offsets of that text in the file. */
  readonly start: number;
  readonly end: number;
  /** A program that is started (a worker, a child process), not imported. */
  readonly isProgram: boolean;
}

export interface SourceFile {
  /** Path from the root, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly words: string;
  readonly code: string;
  readonly lines: number;
  readonly imports: readonly Import[];
}

export interface Import extends Specifier {
  /** The imported file, from the root; undefined for packages. */
  readonly path: string | undefined;
  readonly line: number;
}

export interface Problem {
  readonly path: string;
  readonly line: number;
  readonly message: string;
  readonly severity: 'error' | 'warning';
}

export interface Tree {
  readonly root: string;
  readonly files: ReadonlyMap<string, SourceFile>;
}

/** Folders with sources of ours. */
const folders = ['src', 'tools', 'test', 'bench'];

export function readTree(root: string): Tree {
  const files = new Map<string, SourceFile>();
  for (const folder of folders) {
    if (!existsSync(join(root, folder))) continue;
    for (const name of globSync('**/*.ts', { cwd: join(root, folder) })) {
      const path = `${folder}/${name}`;
      files.set(path, readSource(root, path));
    }
  }
  return { root, files: new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1))) };
}

function readSource(root: string, path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8');
  const { words, code } = blank(text);
  const imports = specifiersIn(text, words, code).map((specifier) => ({
    ...specifier,
    path: specifier.text.startsWith('.')
      ? relative(root, join(root, dirname(path), specifier.text)).replaceAll('\\', '/')
      : undefined,
    line: lineAt(text, specifier.start),
  }));
  return { path, text, words, code, lines: text.split('\n').length - 1, imports };
}

export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** The folder that floors and faces are about: `src/rpc` for `src/rpc/x/y.ts`, `tools` for `tools/tidy/x.ts`. */
export function folderOf(path: string): string {
  const parts = path.split('/');
  return parts[0] === 'src' && parts.length > 2 ? `src/${parts[1]}` : (parts[0] ?? path);
}

export function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.startsWith('test/');
}

/** The module specifiers of a text, in order. */
export function specifiersOf(text: string): Specifier[] {
  const { words, code } = blank(text);
  return specifiersIn(text, words, code);
}

function specifiersIn(text: string, words: string, code: string): Specifier[] {
  const found: Specifier[] = [];
  // `from '...'`, `import '...'`, `import('...')`, and programs: `new URL('...', import.meta.url)`.
  for (const match of words.matchAll(/\b(?:from\s*|import\s*\(?\s*|new\s+URL\(\s*)(['"])([^'"\n]+)\1/g)) {
    const keyword = match[0];
    // The keyword must be code, not part of a string.
    if (code.slice(match.index, match.index + 3) !== keyword.slice(0, 3)) continue;
    const isProgram = keyword.startsWith('new');
    if (isProgram && !/^\s*,\s*import\.meta\.url/.test(words.slice(match.index + keyword.length))) continue;
    const end = match.index + keyword.length - 1;
    const start = end - match[2]!.length;
    found.push({ text: text.slice(start, end), start, end, isProgram });
  }
  // A program beside us with our own extension: new URL(`./child${extname(import.meta.url)}`, import.meta.url).
  for (const match of words.matchAll(/\bnew\s+URL\(\s*`(\.\/[\w./-]+)\$\{extname\(import\.meta\.url\)\}`/g)) {
    found.push({ text: `${match[1]}.ts`, start: match.index, end: match.index + match[0].length, isProgram: true });
  }
  return found.sort((a, b) => a.start - b.start);
}

/** Blanks out comments (`words`), and comments and the inside of strings (`code`). Lengths and line ends stay. */
export function blank(text: string): { words: string; code: string } {
  const words = text.split('');
  const code = text.split('');
  const hide = (from: number, to: number, views: string[][]): void => {
    for (let i = from; i < to; i++) {
      if (text[i] === '\n') continue;
      for (const view of views) view[i] = ' ';
    }
  };
  /** For each open template literal: the depth of braces at which its `${` ends. */
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    const pair = text.slice(at, at + 2);
    if (pair === '//') {
      const end = endOf(text, '\n', at);
      hide(at, end, [words, code]);
      at = end;
    } else if (pair === '/*') {
      const end = Math.min(text.length, endOf(text, '*/', at + 2) + 2);
      hide(at, end, [words, code]);
      at = end;
    } else if (char === "'" || char === '"') {
      const end = stringEnd(text, at + 1, char);
      hide(at + 1, end - 1, [code]);
      at = end;
    } else if (char === '`' || (char === '}' && templates.at(-1) === depth)) {
      if (char === '}') templates.pop();
      const end = templateEnd(text, at + 1);
      hide(at + 1, end, [code]);
      if (text[end] === '$') {
        templates.push(depth);
        at = end + 2;
      } else {
        at = end + 1;
      }
    } else if (char === '/' && regexMayStart(text, at)) {
      const end = regexEnd(text, at + 1);
      hide(at + 1, end - 1, [code]);
      at = end;
    } else {
      if (char === '{') depth++;
      if (char === '}') depth--;
      at++;
    }
  }
  return { words: words.join(''), code: code.join('') };
}

function endOf(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from);
  return at === -1 ? text.length : at;
}

function stringEnd(text: string, from: number, quote: string): number {
  let at = from;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1;
  return Math.min(at + 1, text.length);
}

/** The offset of the closing backtick or of the next `${`. */
function templateEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '`' && !text.startsWith('${', at)) at += text[at] === '\\' ? 2 : 1;
  return at;
}

/** A slash starts a regular expression where no value stands before it. */
function regexMayStart(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 40), at).trimEnd();
  return before === '' || /(?:[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|yield|await|void))$/.test(before);
}

function regexEnd(text: string, from: number): number {
  let inClass = false;
  let at = from;
  while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
    if (text[at] === '[') inClass = true;
    else if (text[at] === ']') inClass = false;
    at += text[at] === '\\' ? 2 : 1;
  }
  return at + 1;
}
