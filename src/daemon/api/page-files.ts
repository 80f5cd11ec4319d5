/**
 * The files of the web page: those of `src/daemon/page`, and the plotting library's own. All lie in two flat folders, and a name has no
 * slash in it, so that no path leads out of them. The page may load nothing from elsewhere and be framed by nobody.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemCode } from '../../base/mod.ts';

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
};

const library: ReadonlySet<string> = new Set(['uPlot.esm.js', 'uPlot.min.css']);

export const pageHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cache-control': 'no-cache',
};

export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

/** Undefined: there is no such file. */
export async function pageFile(name: string): Promise<PageFile | undefined> {
  const type = types[extname(name)];
  if (type === undefined || !/^[A-Za-z0-9][\w.-]{0,99}$/.test(name)) return undefined;
  try {
    return { type, content: await readFile(join(library.has(name) ? libraryFolder() : pageFolder(), name)) };
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'EISDIR') return undefined;
    throw error;
  }
}

function pageFolder(): string {
  return fileURLToPath(new URL('../page/', import.meta.url));
}

function libraryFolder(): string {
  return dirname(createRequire(import.meta.url).resolve('uplot'));
}
