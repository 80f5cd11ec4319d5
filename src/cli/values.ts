/** Values that people type, as commander takes them. Sizes and times: src/base/units.ts. */
import { InvalidArgumentError } from 'commander';

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
