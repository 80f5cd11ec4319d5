/**
 * What layers ask for about one file: settings that a policy gives it, apart from those of the session as a whole.
 *
 *     policies, rules ──► FileSettingsProvider ◄── of(file) ── attribute cache, block cache, working sets, clean cache
 *
 * Plain data. Who provides them may change them at any time; `generation` then grows, and whoever keeps what follows from them asks again.
 */
import type { FileHandle } from './filesystem.ts';

/** `fixed`: never changes, so what was read is believed; `close-to-open`: as NFS clients expect; `strict`: asked for each time. */
export const consistencies = ['fixed', 'close-to-open', 'strict'] as const;
export type Consistency = (typeof consistencies)[number];

/** Who is evicted first, and who may use more of a cache that sessions share. */
export const cachePriorities = ['low', 'normal', 'high'] as const;
export type CachePriority = (typeof cachePriorities)[number];

/** The first is what holds if nothing is said. `auto`: as the file's meta-data say. */
export const fetchModes = ['auto', 'working-set', 'on-demand', 'whole'] as const;
export type FetchMode = (typeof fetchModes)[number];

export interface BelievedFor {
  readonly minimumMs: number;
  readonly maximumMs: number;
}

export interface FileSettings {
  /** Bytes that read-ahead may have in flight for it; 0 switches it off. */
  readonly readAheadBytes: number;
  readonly fetch: FetchMode;
  readonly consistency: Consistency;
  /** How long its attributes are believed; of a directory: `directoryAttributes`, or the session's own if absent. */
  readonly attributes: BelievedFor;
  readonly directoryAttributes?: BelievedFor | undefined;
  /** Its blocks are not evicted, as far as the cache's share for pinned blocks goes. */
  readonly isPinned: boolean;
  readonly priority: CachePriority;
  /** Changes to it are refused, whatever the session may write. */
  readonly isReadOnly: boolean;
}

export interface FileSettingsProvider {
  /** Grows when answers may have changed. */
  readonly generation: number;
  /** At once. Of a file whose name is not known (yet): those of the session. The same object as long as nothing changes. */
  of(file: FileHandle): FileSettings;
}

/** The same for every file. */
export function constantSettings(settings: FileSettings): FileSettingsProvider {
  return { generation: 0, of: () => settings };
}

/** What a rule says; what it leaves open holds from elsewhere. */
export type FileChanges = { readonly [Key in keyof FileSettings]?: FileSettings[Key] | undefined };

/** One rule, as it holds for files: compiled from viaduct.yaml, plain data. */
export interface FileRule {
  readonly name: string;
  /** Matched against the path at the origin: the origin's own and that within the session, `/exports/golden/a.img`. */
  readonly path: string;
  /** Both inclusive. A rule with a size holds for files only, and not before their size is known. */
  readonly minBytes?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly settings: FileChanges;
}

/** What a session is told of its files. The first rule that matches wins; what it leaves open is as in `defaults`, then as the session's own. */
export interface FileRuleSet {
  /** The path at the origin of the session's root, `/` at least. */
  readonly root: string;
  readonly defaults: FileChanges;
  readonly rules: readonly FileRule[];
}
