/**
 * Paths and names are binary strings, one character a byte, so that a name of any bytes finds its way. What people type and read
 * is UTF-8.
 */
import { createHash } from 'node:crypto';
import { limits } from '../base/mod.ts';

export function toBinary(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

export function toText(binary: string): string {
  return Buffer.from(binary, 'latin1').toString('utf8');
}

/** What node:fs takes. */
export function pathBuffer(binary: string): Buffer {
  return Buffer.from(binary, 'latin1');
}

/** The name of a file of ours beside the meta-data of `name`: nobody else's, and gone when the work is done. */
export function privateName(name: string, suffix: string): string {
  const plain = `.${name}${suffix}`;
  if (plain.length <= limits.nameBytes) return plain;
  return `.${createHash('sha256').update(name, 'latin1').digest('hex').slice(0, 32)}${suffix}`;
}
