/** What the attribute cache can be told, and what it counts. Time-outs are those of the Linux client (nfs(5), acregmin and on). */
import { type Clock, limits } from '../base/mod.ts';
import type { Attributes, FileHandle, FileSettings, FileSettingsProvider, Name, Place } from '../vfs/mod.ts';
import type { TimeoutOptions } from './attribute-table.ts';
import type { OriginPresence } from './origin-presence.ts';

export interface AttributeCacheOptions extends TimeoutOptions {
  /** Files whose attributes are kept. */
  readonly entries: number;
  /** Names kept, over all directories. */
  readonly names: number;
  readonly nameMs: number;
  /** How long "no such name" is believed. */
  readonly negativeNameMs: number;
}

export interface AttributeCacheContext {
  readonly clock: Clock;
  readonly options?: Partial<AttributeCacheOptions>;
  /** Shared by all that cache for the same origin. */
  readonly presence?: OriginPresence | undefined;
  /** Default: what `options` say, for all files. */
  readonly settings?: FileSettingsProvider | undefined;
  readonly witness?: FileWitness | undefined;
}

/** Whoever wants to know what files are called and how large they are. Told before the reply that showed it is passed on. */
export interface FileWitness {
  named(directory: FileHandle, name: Name, object: FileHandle): void;
  /** `object`: the file that had the name, as far as it is known. */
  unnamed(place: Place, object: FileHandle | undefined): void;
  renamed(from: Place, to: Place, object: FileHandle | undefined): void;
  seen(object: FileHandle, attributes: Attributes): void;
}

export const attributeCacheDefaults: AttributeCacheOptions = {
  entries: limits.attributeEntries,
  names: limits.nameEntries,
  fileMinimumMs: 3_000,
  fileMaximumMs: 60_000,
  directoryMinimumMs: 30_000,
  directoryMaximumMs: 60_000,
  nameMs: 60_000,
  negativeNameMs: 5_000,
};

export interface AttributeCacheStats {
  readonly attributeHits: number;
  readonly attributeMisses: number;
  readonly nameHits: number;
  readonly nameMisses: number;
  readonly entries: number;
  readonly names: number;
}

/** Settings of all files where nobody says more than how long attributes are believed. */
export function closeToOpen(times: TimeoutOptions): FileSettings {
  return {
    readAheadBytes: limits.readAheadBytes,
    fetch: 'auto',
    consistency: 'close-to-open',
    attributes: { minimumMs: times.fileMinimumMs, maximumMs: times.fileMaximumMs },
    directoryAttributes: { minimumMs: times.directoryMinimumMs, maximumMs: times.directoryMaximumMs },
    isPinned: false,
    priority: 'normal',
    isReadOnly: false,
  };
}
