/** Names in `.viaduct`. Names are binary strings, one character a byte. */
import { limits } from '../base/mod.ts';
import type { Purpose } from './contract.ts';

/** Undefined: the name is too long to have meta-data. */
export function metaName(name: string): string | undefined {
  return fitting(`${name}.meta`);
}

export function packName(name: string): string | undefined {
  return fitting(`${name}.pack`);
}

/** Undefined also for a purpose that is none. */
export function workingSetName(name: string, purpose: Purpose): string | undefined {
  return isPurpose(purpose) ? fitting(`${name}.${purpose}.ws`) : undefined;
}

export function isPurpose(text: string): boolean {
  return /^[a-z0-9-]{1,32}$/.test(text);
}

function fitting(name: string): string | undefined {
  return name.length <= limits.nameBytes ? name : undefined;
}
