/**
 * The kinds of values that settings have: text or number in, checked number out. A number alone is bytes, or seconds.
 *
 *     "20G", 21474836480 ──sizeValue──► 21474836480         "5s", 5 ──durationValue──► 5000
 *
 * All work in `z.toJSONSchema(..., { io: 'input' })`. An issue's message says what is wrong with the value; `params.remedy` of those that
 * are raised here says what to write instead.
 */
import { z } from 'zod';
import { parseDuration, parseRate, parseSize, unlimited, ViaductError, writeDuration, writeSize } from '../base/mod.ts';

export interface Bounds {
  readonly minimum: number;
  readonly maximum: number;
}

const sizePattern = '^[0-9]+(\\.[0-9]+)?\\s*[KMGTPkmgtp]?([iI]?[bB])?$';
const ratePattern = `${sizePattern.slice(0, -1)}(/s)?$`;
const durationPattern = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h)?$';

/** Bytes: `20G`, `512M`, or a whole number. */
export function sizeValue(bounds: Bounds) {
  return textOrNumber(sizePattern, ['512M', '20G'], 'a size, such as 512M or 20G').transform((value, context) =>
    within(value, context, { parse: parseSize, write: writeSize, kind: 'size', bounds }),
  );
}

/** Bytes, or `unlimited`. */
export function quotaValue(bounds: Bounds) {
  const wanted = `a size, such as 2G, or \`${unlimited}\``;
  return textOrNumber(orUnlimited(sizePattern), ['2G', unlimited], wanted).transform((value, context) =>
    value === unlimited
      ? unlimited
      : within(value, context, { parse: parseSize, write: writeSize, kind: 'size', bounds }),
  );
}

/** Bytes a second, or `unlimited`: `20M`, `500K/s`. */
export function rateValue(bounds: Bounds) {
  const wanted = `bytes a second, such as 20M, or \`${unlimited}\``;
  return textOrNumber(orUnlimited(ratePattern), ['20M', unlimited], wanted).transform((value, context) =>
    value === unlimited
      ? unlimited
      : within(value, context, { parse: parseRate, write: writeSize, kind: 'rate', bounds }),
  );
}

/** Milliseconds: `5s`, `500ms`; a number alone is seconds. */
export function durationValue(bounds: Bounds) {
  return textOrNumber(durationPattern, ['500ms', '5s', '2m'], 'a time, such as 5s or 500ms').transform(
    (value, context) => within(value, context, { parse: parseDuration, write: writeDuration, kind: 'time', bounds }),
  );
}

export function switchValue() {
  return z
    .union([z.boolean(), z.enum(['yes', 'no', 'true', 'false'])], { error: 'this is neither true nor false' })
    .transform((value) => value === true || value === 'yes' || value === 'true');
}

export function choiceValue<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z.enum(names, { error: ({ input }) => `${shown(input)} is none of ${names.join(', ')}` });
}

/** What is answered while the origin is away. */
export interface OutageSetting {
  readonly misses: 'hold' | 'fail' | 'stale';
  readonly failAfterMs: number;
}

export const defaultFailAfterMs = 30_000;

/** `hold`, `fail`, `fail:60s`, `stale`. */
export function outageValue(bounds: Bounds) {
  return z
    .string({ error: 'this is none of hold, fail, fail:TIME, stale' })
    .meta({ pattern: `^(hold|stale|fail(:${durationPattern.slice(1, -1)})?)$`, examples: ['hold', 'fail:30s'] })
    .transform((text, context): OutageSetting => {
      if (text === 'hold' || text === 'stale' || text === 'fail')
        return { misses: text, failAfterMs: defaultFailAfterMs };
      if (text.startsWith('fail:')) {
        const rule = { parse: parseDuration, write: writeDuration, kind: 'time', bounds };
        return { misses: 'fail', failAfterMs: within(text.slice('fail:'.length), context, rule) };
      }
      return complain(
        context,
        `"${text}" is none of hold, fail, fail:TIME, stale`,
        'Write hold, fail, fail:60s or stale.',
      );
    });
}

/** The `written` working sets are Viaduct's own. */
export function purposeValue() {
  const message = 'this is not 1 to 32 of a-z, 0-9 and "-", or it is "written", which is Viaduct’s own';
  return z.string({ error: message }).regex(/^(?!written$)[a-z0-9-]{1,32}$/, message);
}

/** A longest time, with the shortest ones that kernel clients have, or each in full. */
export interface AttributeTimes {
  readonly fileMinimumMs: number;
  readonly fileMaximumMs: number;
  readonly directoryMinimumMs: number;
  readonly directoryMaximumMs: number;
}

/** What Linux's acregmin, acregmax, acdirmin and acdirmax are. */
export const defaultAttributeTimes: AttributeTimes = {
  fileMinimumMs: 3_000,
  fileMaximumMs: 60_000,
  directoryMinimumMs: 30_000,
  directoryMaximumMs: 60_000,
};

/** What one time alone means. */
export function longestTimes(longestMs: number): AttributeTimes {
  return {
    fileMinimumMs: Math.min(defaultAttributeTimes.fileMinimumMs, longestMs),
    fileMaximumMs: longestMs,
    directoryMinimumMs: Math.min(defaultAttributeTimes.directoryMinimumMs, longestMs),
    directoryMaximumMs: longestMs,
  };
}

/** `30s`, or `{ file: [3s, 60s], directory: [30s, 60s] }`: between these, the shorter the more recently something changed. */
export function attributeTimeValue(bounds: Bounds) {
  const range = z
    .tuple([durationValue(bounds), durationValue(bounds)], { error: 'this is not a pair of times, such as [3s, 60s]' })
    .refine(([minimum, maximum]) => minimum <= maximum, 'the shortest time-out is above the longest');
  const pairs = z.strictObject({ file: range.optional(), directory: range.optional() });
  const shape = 'a time, such as 30s, or { file: [3s, 60s], directory: [30s, 60s] }';
  return z.union([durationValue(bounds), pairs], sayFirst(shape)).transform((value): AttributeTimes => {
    if (typeof value === 'number') return longestTimes(value);
    const { fileMinimumMs, fileMaximumMs, directoryMinimumMs, directoryMaximumMs } = defaultAttributeTimes;
    const file = value.file ?? [fileMinimumMs, fileMaximumMs];
    const directory = value.directory ?? [directoryMinimumMs, directoryMaximumMs];
    return {
      fileMinimumMs: file[0],
      fileMaximumMs: file[1],
      directoryMinimumMs: directory[0],
      directoryMaximumMs: directory[1],
    };
  });
}

interface Reading {
  readonly parse: (text: string, option: string) => number;
  readonly write: (value: number) => string;
  /** `size`, `time`, `rate`. */
  readonly kind: string;
  readonly bounds: Bounds;
}

function textOrNumber(pattern: string, examples: readonly string[], wanted: string) {
  const text = z.string().meta({ pattern, examples: [...examples] });
  return z.union([text, z.number().meta({ minimum: 0 })], { error: ({ input }) => `${shown(input)} is not ${wanted}` });
}

function orUnlimited(pattern: string): string {
  return `^(${pattern.slice(1, -1)}|${unlimited})$`;
}

function within(
  value: string | number,
  context: z.core.$RefinementCtx,
  { parse, write, kind, bounds }: Reading,
): number {
  let parsed: number;
  try {
    parsed = parse(String(value), kind);
  } catch (error) {
    const remedy = error instanceof ViaductError ? error.remedy : '';
    return complain(context, `${shown(value)} is not a ${kind}`, remedy);
  }
  if (parsed < bounds.minimum)
    return complain(context, `${write(parsed)} is too little`, `Give at least ${write(bounds.minimum)}.`);
  if (parsed > bounds.maximum)
    return complain(context, `${write(parsed)} is too much`, `Give at most ${write(bounds.maximum)}.`);
  return parsed;
}

function complain(context: z.core.$RefinementCtx, message: string, remedy: string): never {
  context.addIssue({ code: 'custom', message, params: { remedy } });
  return z.NEVER;
}

/** Of a union: what its alternatives that got furthest say, else what would have been right. */
function sayFirst(wanted: string): { error: z.core.$ZodErrorMap<z.core.$ZodIssueInvalidUnion> } {
  return {
    error: ({ input, errors }) => {
      const told = errors?.flat().find((issue) => issue.code === 'custom');
      return told?.message ?? `${shown(input)} is not ${wanted}`;
    },
  };
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  const text = typeof value === 'object' ? 'this' : JSON.stringify(value);
  return text.length <= 64 ? text : `${text.slice(0, 60)}…`;
}
