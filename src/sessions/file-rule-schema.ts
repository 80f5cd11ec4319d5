/** Rules for files as part of a plan: their form, and what is wrong with them. */
import { z } from 'zod';
import { limits, ViaductError } from '../base/mod.ts';
import { globMatcher } from '../policy/mod.ts';
import { cachePriorities, consistencies, type FileRuleSet, fetchModes } from '../vfs/mod.ts';
import { milliseconds } from './write-policy.ts';

const bytes = z.number().int().min(0).max(limits.fileBytes);
const believedFor = z
  .strictObject({ minimumMs: milliseconds, maximumMs: milliseconds })
  .refine(({ minimumMs, maximumMs }) => minimumMs <= maximumMs, 'the shortest time-out is above the longest');

const settings = z.strictObject({
  readAheadBytes: bytes.max(limits.readAheadBytes).optional(),
  fetch: z.enum(fetchModes).optional(),
  consistency: z.enum(consistencies).optional(),
  attributes: believedFor.optional(),
  directoryAttributes: believedFor.optional(),
  isPinned: z.boolean().optional(),
  priority: z.enum(cachePriorities).optional(),
  isReadOnly: z.boolean().optional(),
});

const rule = z
  .strictObject({
    name: z.string().min(1),
    path: z.string().min(1).max(limits.ruleGlobBytes).superRefine(checkGlob),
    minBytes: bytes.optional(),
    maxBytes: bytes.optional(),
    settings,
  })
  .refine(({ minBytes = 0, maxBytes = limits.fileBytes }) => minBytes <= maxBytes, 'no file has such a size');

export const fileRuleSetSchema: z.ZodType<FileRuleSet> = z.strictObject({
  root: z.string().startsWith('/'),
  defaults: settings,
  rules: z.array(rule).max(limits.fileRules),
});

/** Throws CONFIGURATION_INVALID. */
export function checkFiles(input: unknown): FileRuleSet {
  const parsed = fileRuleSetSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `rules for files: ${issue.path.join('.')}: ${issue.message}`,
    remedy: 'Correct the rule.',
  });
}

function checkGlob(glob: string, context: z.RefinementCtx): void {
  try {
    globMatcher(glob);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof ViaductError ? error.message : String(error) });
  }
}
