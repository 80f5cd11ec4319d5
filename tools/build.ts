/**
 * Builds `dist/` for the npm package: every source file without its types, as plain JavaScript; and `man/` beside it.
 *
 * Node refuses to strip types below `node_modules`, so the package cannot run the sources as a checkout does. Stripping
 * replaces types by blanks: lines and columns stay as they are, and no source maps are needed. Only the `.ts` at the end of
 * relative specifiers becomes `.js`.
 */
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { writeManualPages } from './man.ts';
import { specifiersOf } from './tidy/source.ts';

const root = join(import.meta.dirname, '..');
const source = join(root, 'src');
const target = process.argv[2] ?? join(root, 'dist');

rmSync(target, { recursive: true, force: true });
const files = globSync('**/*', { cwd: source, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(source.length + 1))
  .filter((path) => !path.endsWith('.test.ts') && !path.startsWith('testing/'));

let count = 0;
for (const path of files) {
  const output = join(target, path.replace(/\.ts$/, '.js'));
  mkdirSync(dirname(output), { recursive: true });
  if (!path.endsWith('.ts')) {
    cpSync(join(source, path), output);
    continue;
  }
  writeFileSync(output, toJavaScript(readFileSync(join(source, path), 'utf8')));
  count++;
}
process.stdout.write(`built ${count} files into ${target}\n`);
process.stdout.write(`wrote ${writeManualPages(join(target, '..', 'man'))} manual pages\n`);

function toJavaScript(text: string): string {
  // Specifiers are rewritten from the last to the first, so that offsets stay right.
  let result = text;
  for (const specifier of specifiersOf(text).reverse()) {
    if (!specifier.text.startsWith('.') || !result.slice(0, specifier.end).endsWith('.ts')) continue;
    result = `${result.slice(0, specifier.end - 3)}.js${result.slice(specifier.end)}`;
  }
  return stripTypeScriptTypes(result, { mode: 'strip' });
}
