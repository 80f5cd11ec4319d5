/**
 * Sizes, times and rates as people type and read them: in options, in viaduct.yaml and in the API.
 *
 *     "20G" ──parseSize──► 21474836480 ──writeSize──► "20G"
 *
 * What `write...` gives parses back to the same number. (`formatSize` and `formatDuration` round: they are for reports.)
 */
import { ViaductError } from './errors.ts';

const sizeUnits = ['', 'K', 'M', 'G', 'T', 'P'];
const timeUnits = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** What is written for no bound at all. */
export const unlimited = 'unlimited';

/** `512M`, `20G`, `1.5T`, `65536`: powers of 1024; `GiB` and `GB` mean the same as `G`. `option`: for the error. */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?$/i.exec(text.trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * 1024 ** sizeUnits.indexOf(match[2]!.toUpperCase());
  if (Number.isSafeInteger(Math.floor(bytes)) && bytes >= 0) return Math.floor(bytes);
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${option}: "${text}" is not a size.`,
    remedy: 'Write a number and a unit: 512M, 20G, 1.5T.',
  });
}

/** Bytes a second, written as a size: `20M`, `20M/s`. `option`: for the error. */
export function parseRate(text: string, option: string): number {
  const match = /^(.*\d\s*[KMGTP]?(?:i?B)?)(?:\/s)?$/i.exec(text.trim());
  try {
    return parseSize(match?.[1] ?? '', option);
  } catch (error) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `${option}: "${text}" is not a rate.`,
      remedy: 'Write bytes a second as a number and a unit: 500K, 20M, 1G.',
      from: error,
    });
  }
}

/** `30s`, `500ms`, `2m`, `1h`; a bare number is seconds. `option`: for the error. */
export function parseDuration(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  const factor = timeUnits[(match?.[2] ?? 's') as keyof typeof timeUnits];
  const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * factor);
  if (Number.isSafeInteger(ms)) return ms;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${option}: "${text}" is not a time.`,
    remedy: 'Write a number and a unit: 500ms, 30s, 2m, 1h.',
  });
}

/** The shortest text that parses back: `1536M`, `20G`, `65537`. */
export function writeSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value > 0 && value % 1024 === 0 && unit < sizeUnits.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${sizeUnits[unit]}`;
}

/** The shortest text that parses back: `500ms`, `30s`, `90m`, `2h`. */
export function writeDuration(ms: number): string {
  const [unit, factor] =
    ms === 0 ? (['s', 1] as const) : Object.entries(timeUnits).findLast(([, size]) => ms % size === 0)!;
  return `${ms / factor}${unit}`;
}

/** For reports: rounded down to what matters. */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
