/**
 * JSON from strangers. Before it is parsed: valid UTF-8, nested no deeper than a stack can walk, no key twice in an object (two readers
 * would take two values), and none of the keys that mean something to JavaScript itself.
 *
 * The scan looks at brackets, strings and colons only; whether the rest of it is JSON, JSON.parse says.
 */
import { limits } from '../../base/mod.ts';
import { refused } from './answers.ts';

const reserved: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Undefined: there is nothing. Throws a RefusedRequest. */
export function parseBody(body: Uint8Array): unknown {
  if (body.length === 0) return undefined;
  const text = decode(body);
  scan(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refused(400, `the body is no JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function decode(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw refused(400, 'the body is not valid UTF-8');
  }
}

function scan(text: string): void {
  /** The keys of each object that is open; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{' || character === '[') {
      if (open.length === limits.apiBodyDepth)
        throw refused(400, `the body is nested more than ${limits.apiBodyDepth} deep`);
      open.push(character === '{' ? new Set() : undefined);
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === '"') {
      const end = endOfString(text, at);
      const keys = open.at(-1);
      if (keys !== undefined && isKey(text, end)) takeKey(keys, text.slice(at, end));
      at = end - 1;
    }
  }
}

/** Behind the closing quote, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

function isKey(text: string, from: number): boolean {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text[at]!)) at++;
  return text[at] === ':';
}

function takeKey(keys: Set<string>, quoted: string): void {
  let key: unknown;
  try {
    key = JSON.parse(quoted);
  } catch {
    throw refused(400, 'the body is no JSON: a key is no string');
  }
  if (typeof key !== 'string') return;
  const shown = JSON.stringify(key.slice(0, 64));
  if (reserved.has(key)) throw refused(400, `the body has the key ${shown}, which nothing here is called`);
  if (keys.has(key)) throw refused(400, `the body has the key ${shown} twice in one object`);
  keys.add(key);
}
