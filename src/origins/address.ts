/**
 * ORIGIN as a person writes it: a directory, or `nfs://host[:port]/path[?nfsport=N&mountport=N&connections=N&privileged-port=yes|no]`.
 *
 *     /srv/images                        a directory
 *     nfs://store.example/images/golden  an NFSv3 server; ports from its portmapper
 *     nfs://[fd00::1]:2050/images?mountport=20048
 *
 * `nfsport` is another way to write the port, the one that libnfs has and that the ready line shows.
 *
 * Strict: what is not understood is refused with the reason, since a mistyped option would otherwise be ignored in silence.
 */
import { isIPv6 } from 'node:net';
import { resolve } from 'node:path';
import { limits, ViaductError } from '../base/mod.ts';

export interface DirectoryAddress {
  readonly kind: 'directory';
  /** Absolute. */
  readonly path: string;
}

export interface NfsAddress {
  readonly kind: 'nfs';
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  /** Of NFS; undefined: ask the portmapper. */
  readonly port?: number | undefined;
  readonly mountPort?: number | undefined;
  /** What MOUNT is asked for: a binary string that begins with `/`. */
  readonly path: string;
  readonly connections?: number | undefined;
  readonly privilegedPort?: boolean | undefined;
}

export type OriginAddress = DirectoryAddress | NfsAddress;

const connectionsMaximum = 16;
const hostPattern = /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/;

/** Throws ORIGIN_INVALID. Does not look whether the directory or the server is there. */
export function parseOrigin(text: string): OriginAddress {
  if (text === '') throw invalid(text, 'it is empty');
  if (text.includes('\0')) throw invalid(text, 'it holds a NUL');
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text);
  if (scheme === null) {
    if (/^nfs:/i.test(text)) throw invalid(text, 'two slashes are missing behind "nfs:"');
    return { kind: 'directory', path: resolve(text) };
  }
  if (scheme[1]!.toLowerCase() !== 'nfs') throw invalid(text, `"${scheme[1]}" is not a kind of origin`);
  return parseNfs(text, text.slice(scheme[0].length));
}

/** The address as a person would write it. */
export function formatOrigin(address: OriginAddress): string {
  if (address.kind === 'directory') return address.path;
  const { host, port, path } = address;
  const authority = `${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`;
  const query = new URLSearchParams();
  if (address.mountPort !== undefined) query.set('mountport', String(address.mountPort));
  if (address.connections !== undefined) query.set('connections', String(address.connections));
  if (address.privilegedPort !== undefined) query.set('privileged-port', address.privilegedPort ? 'yes' : 'no');
  const suffix = query.size > 0 ? `?${query}` : '';
  return `nfs://${authority}${encodePath(path)}${suffix}`;
}

function parseNfs(text: string, rest: string): NfsAddress {
  if (rest.includes('#')) throw invalid(text, 'it holds "#" (write it as %23 inside a path)');
  const question = rest.indexOf('?');
  const query = question < 0 ? '' : rest.slice(question + 1);
  const location = question < 0 ? rest : rest.slice(0, question);
  const slash = location.indexOf('/');
  if (slash < 0) throw invalid(text, 'the path is missing (the whole export is "/")');
  const authority = location.slice(0, slash);
  if (authority.includes('@')) throw invalid(text, 'NFSv3 has no user names: the part before "@" means nothing');
  const place = parseAuthority(text, authority);
  const { nfsPort, ...options } = parseQuery(text, query);
  if (nfsPort !== undefined && place.port !== undefined && nfsPort !== place.port) {
    throw invalid(text, `it has two ports: ${place.port}, and ${nfsPort} as nfsport`);
  }
  const port = nfsPort === undefined ? {} : { port: nfsPort };
  return { kind: 'nfs', ...place, ...port, path: decodePath(text, location.slice(slash)), ...options };
}

function parseAuthority(text: string, authority: string): { host: string; port?: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/.exec(authority);
  if (match === null) throw invalid(text, `"${authority}" is not host or host:port (an IPv6 address needs brackets)`);
  const [, literal, name, portText] = match;
  const host = literal ?? name ?? '';
  if (literal !== undefined ? !isIPv6(literal) : !hostPattern.test(host)) {
    throw invalid(text, host === '' ? 'the host is missing' : `"${host}" is not a host name or address`);
  }
  return portText === undefined ? { host } : { host, port: parseNumber(text, 'the port', portText, 65_535) };
}

interface QueryOptions {
  nfsPort?: number;
  mountPort?: number;
  connections?: number;
  privilegedPort?: boolean;
}

function parseQuery(text: string, query: string): QueryOptions {
  const result: QueryOptions = {};
  if (query === '') return result;
  const seen = new Set<string>();
  for (const part of query.split('&')) {
    const equals = part.indexOf('=');
    const key = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? '' : part.slice(equals + 1);
    if (seen.has(key)) throw invalid(text, `"${key}" is given twice`);
    seen.add(key);
    if (key === 'mountport') result.mountPort = parseNumber(text, 'mountport', value, 65_535);
    else if (key === 'nfsport') result.nfsPort = parseNumber(text, 'nfsport', value, 65_535);
    else if (key === 'connections') result.connections = parseNumber(text, 'connections', value, connectionsMaximum);
    else if (key === 'privileged-port') {
      if (value !== 'yes' && value !== 'no') throw invalid(text, 'privileged-port is neither yes nor no');
      result.privilegedPort = value === 'yes';
    } else {
      throw invalid(text, `"${key}" is not an option (there are nfsport, mountport, connections and privileged-port)`);
    }
  }
  return result;
}

function parseNumber(text: string, what: string, value: string, maximum: number): number {
  const number = /^[0-9]{1,6}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > maximum) throw invalid(text, `${what} "${value}" is not between 1 and ${maximum}`);
  return number;
}

/** Percent-encoded and literal UTF-8 characters to bytes, one character each. */
function decodePath(text: string, encoded: string): string {
  const bytes: number[] = [];
  for (const part of encoded.split(/(%[0-9A-Fa-f]{2})/)) {
    if (/^%[0-9A-Fa-f]{2}$/.test(part)) bytes.push(Number.parseInt(part.slice(1), 16));
    else if (part.includes('%')) throw invalid(text, 'a "%" is not followed by two hexadecimal digits');
    else bytes.push(...Buffer.from(part, 'utf8'));
  }
  const path = Buffer.from(bytes).toString('latin1');
  if (path.includes('\0')) throw invalid(text, 'the path holds a NUL');
  if (path.length > limits.pathBytes) throw invalid(text, `the path is longer than ${limits.pathBytes} bytes`);
  return path;
}

function encodePath(path: string): string {
  return path.replaceAll(/[^A-Za-z0-9/._~!$&'()*+,;=:@-]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
}

function invalid(text: string, reason: string): ViaductError {
  return new ViaductError('ORIGIN_INVALID', {
    cause: `the origin "${text.slice(0, 200)}" is not understood: ${reason}`,
    remedy: 'Give a directory, or nfs://host[:port]/path[?mountport=N].',
  });
}
