/**
 * The vocabulary of policies. A setting has one name: as option (`--write-back-after 5s`), as key in viaduct.yaml
 * (`write-back-after: 5s`) and as key of `settings` in the API.
 *
 *     text ──policyDocumentSchema──► PolicyValues ──resolvePolicy (with model and defaults)──► PolicySettings
 *                                                                                   session part │ file part
 *
 * The session part holds for the whole session. The file part is its default for files, which rules override per file.
 */
import { z } from 'zod';
import { limits } from '../base/mod.ts';
import {
  type CachePriority,
  type Consistency,
  cachePriorities,
  consistencies,
  type FetchMode,
  fetchModes,
} from '../vfs/mod.ts';
import {
  type AttributeTimes,
  attributeTimeValue,
  choiceValue,
  durationValue,
  type OutageSetting,
  outageValue,
  purposeValue,
  quotaValue,
  rateValue,
  sizeValue,
  switchValue,
} from './values.ts';

export const modelNames = ['golden', 'vm-disk', 'vm-memory', 'scratch', 'home'] as const;
export type ModelName = (typeof modelNames)[number];

export const writeModes = ['read-only', 'write-through', 'write-back', 'redirect'] as const;
export type WriteMode = (typeof writeModes)[number];

export const commitModes = ['local', 'next', 'origin'] as const;
export type CommitMode = (typeof commitModes)[number];

export const closeModes = ['write-back', 'keep', 'discard'] as const;
export type CloseMode = (typeof closeModes)[number];

const day = { minimum: 0, maximum: 24 * 3600 * 1000 };
const anySize = (minimum: number) => ({ minimum, maximum: limits.fileBytes });

const sessionShape = {
  writes: choiceValue(writeModes)
    .optional()
    .describe(
      'Where changes go: refused (read-only), answered when the origin has them (write-through), when this host’s log has them (write-back), or kept from the origin until you say commit (redirect). Example: `writes: write-back`.',
    ),
  commit: choiceValue(commitModes)
    .optional()
    .describe(
      'Where data must be before a client that asks for stable data is answered: on this host’s disk (local), with what the origin’s address names (next), or at the origin itself, past every proxy (origin). Example: `commit: origin`.',
    ),
  'write-back-after': durationValue(day)
    .optional()
    .describe(
      'How long a change waits for others before it is written back; what is overwritten meanwhile never crosses the link. Example: `write-back-after: 30s`.',
    ),
  'write-back-rate': rateValue(anySize(1))
    .optional()
    .describe(
      'Bytes a second that write-back may take of the link; `unlimited` means all that readers leave. Example: `write-back-rate: 5M`.',
    ),
  'write-back-window': sizeValue({ minimum: limits.blockBytes, maximum: limits.writeBackFlightBytes })
    .optional()
    .describe(
      'Bytes that write-back may have under way at most; it uses less when the link answers late. Example: `write-back-window: 4M`.',
    ),
  'dirty-limit': sizeValue(anySize(limits.dirtyLogBytes))
    .optional()
    .describe(
      'What changes that the origin does not have yet may take of this host’s disk; then writers are slowed to the speed of the link. Example: `dirty-limit: 20G`.',
    ),
  'dirty-age': durationValue(day)
    .optional()
    .describe(
      'How old a change may become that no client asked to be stable, before it is made stable and written back. Example: `dirty-age: 2m`.',
    ),
  outage: outageValue(day)
    .optional()
    .describe(
      'What happens while the origin is away to what is asked for and not known here: it waits (hold), fails after 30 s or TIME (fail, fail:TIME), or is answered as last known (stale). Example: `outage: fail:60s`.',
    ),
  'on-close': choiceValue(closeModes)
    .optional()
    .describe(
      'What `viaduct session close` does first with changes that the origin does not have: brings them there (write-back), leaves them in the log on this host (keep), or forgets them (discard, with redirect only). Example: `on-close: discard`.',
    ),
  'cache-quota': quotaValue(anySize(limits.cacheBytes))
    .optional()
    .describe(
      'What the session may occupy of a cache that it shares; beyond it, its own oldest data make room first. Example: `cache-quota: 2G`.',
    ),
  'sole-writer': switchValue()
    .optional()
    .describe(
      'Nobody else changes the origin’s files while the session runs, so its own writes keep the cache valid with any server. Example: `sole-writer: true`.',
    ),
  purpose: purposeValue()
    .optional()
    .describe(
      'What the runs of this session are for; working sets are learned and used under this name. Example: `purpose: resume`.',
    ),
  'fetch-rate': rateValue(anySize(limits.blockBytes))
    .optional()
    .describe(
      'Bytes a second that fetching ahead of need may take of the link; `unlimited` means all that readers leave. Example: `fetch-rate: 20M`.',
    ),
} as const;

const fileShape = {
  'read-ahead': sizeValue({ minimum: 0, maximum: limits.readAheadBytes })
    .optional()
    .describe(
      'What read-ahead may have under way for a file that is read in order; 0 switches it off. Example: `read-ahead: 8M`.',
    ),
  fetch: choiceValue(fetchModes)
    .optional()
    .describe(
      'What is fetched before it is asked for: what earlier runs touched (working-set), then the rest of the file too (whole), nothing (on-demand), or as the file was packed for (auto). Example: `fetch: working-set`.',
    ),
  consistency: choiceValue(consistencies)
    .optional()
    .describe(
      'How changes that others make are seen: never looked for (fixed), when a file is opened as with any NFS client (close-to-open), or asked for at each use (strict). Example: `consistency: fixed`.',
    ),
  'attribute-timeout': attributeTimeValue(day)
    .optional()
    .describe(
      'How long attributes and names are believed at most; the shorter, the sooner changes made elsewhere are seen, and the more requests cross the link. Example: `attribute-timeout: 30s`.',
    ),
  pin: switchValue()
    .optional()
    .describe(
      'Cached data of the file is not evicted, as far as the cache’s share for pinned data goes. Example: `pin: true`.',
    ),
  'cache-priority': choiceValue(cachePriorities)
    .optional()
    .describe('Whose data stays longer when sessions that share a cache need room. Example: `cache-priority: high`.'),
} as const;

/** Settings alone: what a session's own changes to its policy are. */
export const settingsSchema = z.strictObject({ ...sessionShape, ...fileShape });

/** One policy of viaduct.yaml. */
export const policyDocumentSchema = z.strictObject({
  model: choiceValue(modelNames)
    .optional()
    .describe(
      `The built-in policy that this one starts from (${modelNames.join(', ')}); \`viaduct policy show NAME\` prints it. Example: \`model: scratch\`.`,
    ),
  description: z
    .string()
    .max(500)
    .optional()
    .describe('For people: what the policy is for. Example: `description: Nightly builds`.'),
  ...settingsSchema.shape,
});

/** As it is written. */
export type SettingsDocument = z.input<typeof settingsSchema>;
export type PolicyDocument = z.input<typeof policyDocumentSchema>;
/** Checked, by the same keys: bytes and milliseconds. */
export type SettingValues = z.output<typeof settingsSchema>;
export type SettingKey = keyof SettingValues;
/** Of each setting, what it is when it is there. */
export type ValueOf = { readonly [Key in SettingKey]-?: NonNullable<SettingValues[Key]> };

export const sessionKeys = Object.keys(sessionShape) as readonly (keyof typeof sessionShape)[];
export const fileKeys = Object.keys(fileShape) as readonly (keyof typeof fileShape)[];
/** In the order in which they are told. */
export const settingKeys: readonly SettingKey[] = [...sessionKeys, ...fileKeys];

/** What holds for a session as a whole. */
export interface SessionSettings {
  readonly writes: WriteMode;
  /** undefined: read-only, nothing to commit. */
  readonly commit: CommitMode | undefined;
  readonly writeBackAfterMs: number;
  /** undefined: all that readers leave. */
  readonly writeBackRateBytesPerSecond: number | undefined;
  readonly writeBackWindowBytes: number;
  readonly dirtyLimitBytes: number;
  readonly dirtyAgeMs: number;
  readonly outage: OutageSetting;
  /** undefined: nothing waits on this host. */
  readonly onClose: CloseMode | undefined;
  /** undefined: no bound of its own. */
  readonly cacheQuotaBytes: number | undefined;
  readonly isSoleWriter: boolean;
  readonly purpose: string;
  readonly fetchRateBytesPerSecond: number | undefined;
}

/** What holds for its files unless a rule says otherwise. */
export interface FileDefaults {
  readonly readAheadBytes: number;
  readonly fetch: FetchMode;
  readonly consistency: Consistency;
  readonly attributes: AttributeTimes;
  readonly isPinned: boolean;
  readonly priority: CachePriority;
  readonly isReadOnly: boolean;
}

export interface PolicySettings {
  readonly session: SessionSettings;
  readonly file: FileDefaults;
}

export function keepsLog(writes: WriteMode): boolean {
  return writes === 'write-back' || writes === 'redirect';
}
