/**
 * What `origin` of a session means.
 *
 *     store              the origin of that name
 *     store:/golden      a path below it            ──► nfs://store.example/images/golden
 *     nfs://host/path    itself      an origin that it lies at gives it its name and its connections (the innermost, of several),
 *     /srv, ./srv        a directory     so that a rule for that origin holds however the place was written
 */
import { isAbsolute, join, resolve } from 'node:path';
import { nearest, ViaductError } from '../base/mod.ts';
import { formatOrigin, parseOrigin } from '../origins/mod.ts';

export interface ConfiguredOrigin {
  readonly name: string;
  /** As ORIGIN of commands; a directory is absolute. */
  readonly url: string;
  /** TCP connections of each session; undefined: as usual. */
  readonly connections?: number | undefined;
  readonly description?: string | undefined;
}

export interface OriginReference {
  /** As ORIGIN of commands. */
  readonly origin: string;
  /** The origin in the configuration that it is at. */
  readonly name?: string | undefined;
  /** There, as rules match it: `/` at least. */
  readonly path: string;
  readonly connections?: number | undefined;
}

/** Whether the text names a URL or a directory by itself, and no origin. */
export function isOriginAddress(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text) || isAbsolute(text) || /^\.\.?(\/|$)/.test(text);
}

/** `folder`: what relative directories are relative to. Throws ORIGIN_INVALID. */
export function resolveOrigin(text: string, origins: readonly ConfiguredOrigin[], folder: string): OriginReference {
  if (isOriginAddress(text)) return referenceTo(absoluteOrigin(text, folder), undefined, origins);
  const [, name = '', path = ''] = /^([^:]*)(?::(.*))?$/s.exec(text) ?? [];
  const found = origins.find((origin) => origin.name === name);
  if (found === undefined) throw unknownOrigin(text, name, origins);
  if (path !== '' && !path.startsWith('/')) throw invalid(text, 'the path behind ":" does not begin with "/"');
  if (path.split('/').includes('..')) throw invalid(text, 'the path leads upwards (..)');
  return referenceTo(originBelow(found.url, path), found, origins);
}

/** `known`: the origin by whose name it was written. */
function referenceTo(
  origin: string,
  known: ConfiguredOrigin | undefined,
  origins: readonly ConfiguredOrigin[],
): OriginReference {
  const path = pathOf(origin);
  const innermost = origins
    .filter(({ url }) => isSameServer(url, origin) && isBelow(path, pathOf(url)))
    .sort((left, right) => pathOf(right.url).length - pathOf(left.url).length)[0];
  const at = known ?? innermost;
  if (at === undefined) return { origin, path };
  const { name, connections } = at;
  return { origin, path, name, ...(connections === undefined ? {} : { connections }) };
}

/** Directories are all of this host. */
export function isSameServer(left: string, right: string): boolean {
  return serverOf(left) === serverOf(right);
}

function serverOf(origin: string): string | undefined {
  const address = parseOrigin(origin);
  return address.kind === 'nfs' ? `${address.host.toLowerCase()}:${address.port ?? 2049}` : undefined;
}

function pathOf(origin: string): string {
  const { kind, path } = parseOrigin(origin);
  // Bytes of names in URLs travel as one character each.
  const text = kind === 'nfs' ? Buffer.from(path, 'latin1').toString('utf8') : path;
  return text.replace(/\/+$/, '') || '/';
}

/** Both as rules match them; the folder itself is below it. */
export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/** A directory becomes absolute; a URL stays. */
export function absoluteOrigin(text: string, folder: string): string {
  return parseOrigin(text).kind === 'nfs' ? text : resolve(folder, text);
}

/** `path`: of a file there, as this host writes it; empty or `/`: the origin itself. */
export function originBelow(url: string, path: string): string {
  const address = parseOrigin(url);
  if (path === '' || path === '/') return url;
  if (address.kind === 'directory') return join(address.path, path);
  const bytes = Buffer.from(path, 'utf8').toString('latin1');
  return formatOrigin({ ...address, path: join(address.path, bytes) });
}

function unknownOrigin(text: string, name: string, origins: readonly ConfiguredOrigin[]): ViaductError {
  const names = origins.map((origin) => origin.name);
  const meant = nearest(name, names);
  const known = names.length === 0 ? 'There is none under `origins`' : `There are ${names.join(', ')}`;
  const hint = meant === undefined ? `${known}; a directory is written /PATH or ./PATH.` : `Did you mean "${meant}"?`;
  return new ViaductError('ORIGIN_INVALID', {
    cause: `no origin is called ${JSON.stringify(name)}${name === text ? '' : ` (in ${JSON.stringify(text)})`}.`,
    remedy: hint,
  });
}

function invalid(text: string, why: string): ViaductError {
  return new ViaductError('ORIGIN_INVALID', {
    cause: `${JSON.stringify(text)} is not understood: ${why}.`,
    remedy: 'Write NAME or NAME:/PATH with the name of an origin, nfs://HOST/PATH, or a directory.',
  });
}
