/** Reading and writing of values that people type and read: sizes, counts, times. */
import { InvalidArgumentError } from 'commander';
import { ViaductError } from '../base/mod.ts';

const units = ['', 'K', 'M', 'G', 'T', 'P'];

/** `512M`, `20G`, `1.5T`, `65536`: powers of 1024; `GiB` and `GB` mean the same as `G`. `option`: for the error. */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?$/i.exec(text.trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * 1024 ** units.indexOf(match[2]!.toUpperCase());
  if (Number.isSafeInteger(Math.floor(bytes)) && bytes >= 0) return Math.floor(bytes);
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${option}: "${text}" is not a size.`,
    remedy: 'Write a number and a unit: 512M, 20G, 1.5T.',
  });
}

/** `30s`, `500ms`, `2m`, `1h`; a bare number is seconds. `option`: for the error. */
export function parseDuration(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  const factor = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match?.[2] ?? 's'];
  if (match !== null && factor !== undefined) return Math.round(Number(match[1]) * factor);
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${option}: "${text}" is not a time.`,
    remedy: 'Write a number and a unit: 500ms, 30s, 2m, 1h.',
  });
}

export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** For commander: a path. An empty one would mean the current directory, which nobody asks for like that. */
export function notEmpty(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('It is empty.');
}

/** For commander: a whole number within bounds. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`It is a whole number from ${minimum} to ${maximum}.`);
  };
}

/** For commander: an option that may be given several times, or once with commas. */
export function collect(text: string, before: string[]): string[] {
  return [...before, ...text.split(',')];
}
