/**
 * What a plan says about changes: where they go, when they are stable, what waits on this host, and what happens while the origin
 * is away. Which of it fits together is checked here.
 *
 *     read-only       every change is refused
 *     write-through   a change is answered when the origin answered it
 *     write-back      a change is answered when this host's dirty log has it; the origin gets it later
 *     redirect        the same log, which is written back only when somebody says `commit`
 */
import { z } from 'zod';
import { limits, ViaductError } from '../base/mod.ts';

export const milliseconds = z
  .number()
  .int()
  .min(0)
  .max(24 * 3600 * 1000);

export const writePolicies = ['read-only', 'write-through', 'write-back', 'redirect'] as const;
export type WritePolicy = (typeof writePolicies)[number];
/**
 * Where data must be before COMMIT and FILE_SYNC are answered: on this host's disk, wherever the next one (another Viaduct, or the origin)
 * keeps what it calls stable, or at the origin itself.
 */
export const commitPlaces = ['local', 'next', 'origin'] as const;
export type CommitPlace = (typeof commitPlaces)[number];
/** Policies under which changes wait in the dirty log. */
export type LoggedPolicy = 'write-back' | 'redirect';

/** What becomes of changes that the origin does not have when a session is closed for good. */
export const closeModes = ['write-back', 'keep', 'discard'] as const;
export type CloseMode = (typeof closeModes)[number];

const smallestWindowBytes = 64 * 1024;

export const dirtySchema = z.strictObject({
  /** The dirty log. Under a policy that keeps none it must hold nothing that the origin does not have. */
  directory: z.string().min(1),
  /** What the log may take on its disk. */
  limitBytes: z.number().int().min(limits.dirtyLogBytes).max(limits.fileBytes),
  /** How long a change waits for others before it is written back. */
  writeBackAfterMs: milliseconds,
  /** A change of a client that never asks for stable data is made stable, and then written back, after this time. */
  ageMs: milliseconds,
  /** What write-back may take of the link; absent: all that readers leave. */
  rateBytesPerSecond: z.number().int().min(1).max(limits.fileBytes).optional(),
  /** Bytes on their way back to the origin, at most. */
  windowBytes: z.number().int().min(smallestWindowBytes).max(limits.writeBackFlightBytes).optional(),
});
export type DirtyRule = z.infer<typeof dirtySchema>;

export const defaultDirty = { limitBytes: 4 * 1024 ** 3, writeBackAfterMs: 5_000, ageMs: 30_000 } as const;

export const outageSchema = z.strictObject({
  /** What is asked for and not known here while the origin is away: waits, fails after a time, or is answered as last known. */
  misses: z.enum(['hold', 'fail', 'stale']),
  failAfterMs: milliseconds,
});
export type OutageRule = z.infer<typeof outageSchema>;

export const defaultOutage: OutageRule = { misses: 'hold', failAfterMs: 30_000 };

interface WriteRules {
  readonly kind: 'serve' | 'proxy';
  readonly writes: WritePolicy;
  readonly commit?: CommitPlace | undefined;
  readonly dirty?: DirtyRule | undefined;
  readonly outage?: OutageRule | undefined;
  readonly takeOverLease?: boolean | undefined;
  readonly onClose?: CloseMode | undefined;
}

export function keepsLog(writes: WritePolicy): writes is LoggedPolicy {
  return writes === 'write-back' || writes === 'redirect';
}

/** Throws CONFIGURATION_INVALID for what contradicts. */
export function checkWrites(plan: WriteRules): void {
  const { kind, writes, commit, dirty } = plan;
  if (kind === 'serve') {
    if (keepsLog(writes))
      throw contradiction(`\`serve\` cannot have --policy ${writes}.`, 'That is for `proxy` and `mount`.');
    if (dirty !== undefined || commit !== undefined || plan.outage !== undefined || plan.takeOverLease !== undefined)
      throw contradiction(
        '`serve` keeps no changes back.',
        'Leave out what is about a dirty log, an outage or a lease.',
      );
    if (plan.onClose !== undefined)
      throw contradiction(`\`serve\` cannot have --on-close ${plan.onClose}.`, 'Leave it out.');
    return;
  }
  if (keepsLog(writes) && dirty === undefined)
    throw contradiction(`--policy ${writes} needs a dirty log.`, 'Name a directory of this host: --dirty-log DIR.');
  if (!keepsLog(writes) && commit === 'local')
    throw contradiction(
      `--commit local contradicts --policy ${writes}: nothing is kept on this host.`,
      'Use --policy write-back, or leave --commit out.',
    );
  if (writes === 'read-only' && commit !== undefined)
    throw contradiction(`--commit ${commit} means nothing with --policy read-only.`, 'Leave --commit out.');
  if (writes === 'redirect' && (commit === 'origin' || commit === 'next'))
    throw contradiction(
      `--commit ${commit} contradicts --policy redirect: the origin never gets what is written.`,
      'Leave --commit out; `viaduct redirect commit` brings the changes to the origin.',
    );
  if (writes !== 'write-back' && plan.takeOverLease === true)
    throw contradiction(
      `--take-over contradicts --policy ${writes}: only write-back needs the write lease.`,
      'Leave it out, or use --policy write-back.',
    );
  if (plan.onClose === 'discard' && writes !== 'redirect')
    throw contradiction(
      `--on-close discard contradicts --policy ${writes}: clients were told that their changes are kept.`,
      'Use --policy redirect for changes that may go, or --on-close write-back or keep.',
    );
  if (plan.onClose === 'write-back' && writes === 'read-only')
    throw contradiction('--on-close write-back contradicts --policy read-only: nothing is changed.', 'Leave it out.');
  if (dirty !== undefined && dirty.ageMs < dirty.writeBackAfterMs)
    throw contradiction(
      `--dirty-age (${dirty.ageMs} ms) is shorter than --write-back-after (${dirty.writeBackAfterMs} ms).`,
      'A change cannot be written back later than it is old: give a longer --dirty-age.',
    );
}

function contradiction(cause: string, remedy: string): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', { cause, remedy });
}
