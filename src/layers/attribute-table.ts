/**
 * What is known of the attributes of each file, in an order that never goes back.
 *
 * A reply shows the file as it was at some moment between the issue of its call and its arrival. Calls overlap, so replies
 * may arrive in another order than the one in which the server made them. Every issue and every arrival takes a tick:
 *
 *     known      issue 3 ----------- arrival 8
 *     reply A                                  issue 9 --- arrival 12     issued after the arrival of what is known: newer
 *     reply B          issue 5 ---------------------- arrival 10          overlaps: the file's own ctime decides
 *
 * Invariants: what `fresh` answers is never older than what a reply that arrived before had shown. Of two overlapping
 * replies with equal ctime and different content nothing can be told (servers' clocks tick in milliseconds): the entry
 * then loses its attributes, and the next GETATTR asks. After a mutation whose result was not told, only replies to calls
 * issued later count. Time-outs adapt as the Linux client's do: doubled when the file was found unchanged at their
 * end, back to the minimum when somebody else changed it.
 *
 * Between which bounds they lie is a setting of the file. One that is `fixed` is believed for a day, one that is `strict` never: what was
 * learned of it is known, and never fresh. A directory that is `fixed` keeps its own time-outs: what is added to it is seen. Settings that change hold at once for what was learned before.
 */
import {
  type Attributes,
  type BelievedFor,
  type FileSettings,
  type FileSettingsProvider,
  FileType,
  type GetattrReply,
  sameContent,
  type Time,
  type WccAttributes,
} from '../vfs/mod.ts';
import { BoundedMap, type Touchable } from './bounded-map.ts';

export interface TimeoutOptions {
  readonly fileMinimumMs: number;
  readonly fileMaximumMs: number;
  readonly directoryMinimumMs: number;
  readonly directoryMaximumMs: number;
}

/** When a call was issued: its place in the order, and the time. */
export interface Issue {
  readonly tick: number;
  readonly atMs: number;
}

/**
 * What a reply meant: `same` as known, `own` change (the state before it was the known one), `changed` by somebody else or
 * seen for the first time, or `older` than known (or impossible to order) and therefore not taken over.
 */
export type Verdict = 'same' | 'own' | 'changed' | 'older';

export type KnownReply = Extract<GetattrReply, { status: 0 }>;

interface Entry extends Touchable {
  /** Ready to be answered; undefined when only the order is known. */
  reply: KnownReply | undefined;
  arrivalTick: number;
  mutationTick: number;
  timeoutMs: number;
  validUntilMs: number;
  /** When the latest call was issued whose reply showed it so. */
  confirmedMs: number;
  /** Somebody else changed it since it was first seen, and nobody asked since whether it stays so. */
  isDoubted: boolean;
  /** As of that generation; undefined: never asked for. */
  settings: FileSettings | undefined;
  generation: number;
  /** Content of a symbolic link. */
  target: string | undefined;
}

/** How long a `fixed` file is believed. */
export const fixedMs = 24 * 3600 * 1000;

export class AttributeTable {
  readonly #entries: BoundedMap<string, Entry>;
  readonly #directoryTimes: BelievedFor;
  readonly #settings: FileSettingsProvider;
  #tick = 0;
  /** No entry that was given up knew of anything later than this: replies to calls issued before it start no new entry. */
  #floorTick = 0;
  #removalTick = 0;

  constructor(limit: number, timeouts: TimeoutOptions, settings: FileSettingsProvider) {
    this.#directoryTimes = { minimumMs: timeouts.directoryMinimumMs, maximumMs: timeouts.directoryMaximumMs };
    this.#settings = settings;
    this.#entries = new BoundedMap(limit, (_handle, entry) => {
      if (entry.arrivalTick > this.#floorTick) this.#floorTick = entry.arrivalTick;
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  issue(nowMs: number): Issue {
    return { tick: ++this.#tick, atMs: nowMs };
  }

  /** The reply to a GETATTR, if its time has not run out. */
  fresh(handle: string, nowMs: number): KnownReply | undefined {
    const entry = this.#entries.get(handle);
    if (entry === undefined) return undefined;
    if (entry.generation !== this.#settings.generation) this.#settle(handle, entry);
    return nowMs >= entry.validUntilMs ? undefined : this.#standing(entry);
  }

  /** Its time will soon run out: asked for now, nobody who uses the file has to wait for the answer. */
  isAging(handle: string, nowMs: number): boolean {
    const entry = this.#entries.get(handle);
    return entry !== undefined && nowMs >= agingAtMs(entry);
  }

  isDoubted(handle: string): boolean {
    return this.#entries.get(handle)?.isDoubted === true;
  }

  /** The same, however long ago its time ran out: nothing that was learned since speaks against it. */
  last(handle: string): KnownReply | undefined {
    const entry = this.#entries.get(handle);
    return entry === undefined ? undefined : this.#standing(entry);
  }

  #standing(entry: Entry): KnownReply | undefined {
    const { reply } = entry;
    if (reply === undefined) return undefined;
    if (entry.arrivalTick < this.#removalTick && reply.attributes.type !== FileType.DIRECTORY) return undefined;
    entry.touched = true;
    return reply;
  }

  /** Content of a symbolic link whose attributes stand. */
  target(handle: string): string | undefined {
    return this.#entries.get(handle)?.target;
  }

  setTarget(handle: string, target: string): void {
    const entry = this.#entries.get(handle);
    if (entry !== undefined) entry.target = target;
  }

  /** Whether anything about the file arrived since the call was issued. */
  learnedSince(handle: string, issue: Issue): boolean {
    const entry = this.#entries.get(handle);
    return (entry === undefined ? this.#floorTick : entry.arrivalTick) > issue.tick;
  }

  /** Whether a mutation of our own finished since the call was issued. */
  mutatedSince(handle: string, issue: Issue): boolean {
    const entry = this.#entries.get(handle);
    return (entry === undefined ? this.#floorTick : entry.mutationTick) > issue.tick;
  }

  /** Takes note that a mutation of our own has finished. */
  mutated(handle: string): void {
    const entry = this.#entries.get(handle) ?? this.#add(handle);
    entry.mutationTick = entry.arrivalTick = ++this.#tick;
  }

  /** The file changed in a way that was not told, or its handle is stale. */
  invalidate(handle: string): void {
    const entry = this.#entries.get(handle) ?? this.#add(handle);
    entry.reply = undefined;
    entry.target = undefined;
    // Its settings may be others by the next reply: how long the last one was believed says nothing of that one.
    entry.validUntilMs = longAgoMs;
    entry.confirmedMs = longAgoMs;
    entry.arrivalTick = ++this.#tick;
  }

  /** A file lost a name or its content, and it is not known which file: nothing known about files holds any more. */
  invalidateFiles(): void {
    this.#removalTick = ++this.#tick;
  }

  /** Nothing is known any more, and nothing that was asked before now is learned. */
  clear(): void {
    this.#entries.clear();
    this.#floorTick = ++this.#tick;
  }

  /** What was known in an earlier life: its time has run out, and whatever a reply says is newer. */
  putBack(handle: string, attributes: Attributes): void {
    if (this.#entries.get(handle) !== undefined) return;
    const entry = this.#add(handle);
    entry.reply = { status: 0, attributes };
    entry.timeoutMs = this.#times(handle, entry, attributes).minimumMs;
  }

  /** Learns from a reply. `before` is the wcc_attr of a mutation. */
  observe(handle: string, attributes: Attributes, issue: Issue, before?: WccAttributes): Verdict {
    let entry = this.#entries.get(handle);
    if (entry === undefined) {
      if (issue.tick < this.#floorTick) return 'older';
      entry = this.#add(handle);
      this.#renew(entry, attributes, issue, this.#times(handle, entry, attributes).minimumMs);
      return 'changed';
    }
    const { minimumMs, maximumMs } = this.#times(handle, entry, attributes);
    const overlaps = issue.tick < entry.arrivalTick;
    const known = entry.reply?.attributes;
    if (known === undefined) {
      if (overlaps) return 'older';
      this.#renew(entry, attributes, issue, minimumMs);
      return 'changed';
    }
    if (sameFile(known, attributes)) {
      const isLate = issue.atMs >= agingAtMs(entry);
      const timeoutMs = isLate ? Math.min(entry.timeoutMs * 2, maximumMs) : entry.timeoutMs;
      if (!overlaps) entry.isDoubted = false;
      // An overlapping reply that shows the same may still be older in its atime: only its freshness counts.
      this.#renew(entry, overlaps ? known : attributes, issue, timeoutMs);
      return 'same';
    }
    if (overlaps) {
      const order = compareTimes(attributes.ctime, known.ctime);
      if (order === 0) this.invalidate(handle);
      if (order <= 0) return 'older';
    }
    const own = before !== undefined && sameContent(before, known) && samePermissions(known, attributes);
    if (!own) entry.target = undefined;
    if (!own) entry.isDoubted = true;
    entry.validUntilMs = longAgoMs;
    entry.confirmedMs = longAgoMs;
    this.#renew(entry, attributes, issue, own ? entry.timeoutMs : minimumMs);
    return own ? 'own' : 'changed';
  }

  #add(handle: string): Entry {
    const entry: Entry = {
      reply: undefined,
      arrivalTick: 0,
      mutationTick: 0,
      timeoutMs: 0,
      validUntilMs: longAgoMs,
      confirmedMs: longAgoMs,
      isDoubted: false,
      settings: undefined,
      generation: -1,
      target: undefined,
      touched: true,
    };
    this.#entries.set(handle, entry);
    return entry;
  }

  #renew(entry: Entry, attributes: Attributes, issue: Issue, timeoutMs: number): void {
    if (entry.reply?.attributes !== attributes) entry.reply = { status: 0, attributes };
    entry.arrivalTick = ++this.#tick;
    entry.timeoutMs = timeoutMs;
    entry.confirmedMs = Math.max(entry.confirmedMs, issue.atMs);
    entry.validUntilMs = Math.max(entry.validUntilMs, issue.atMs + believedMs(entry));
  }

  /** Its settings may have changed: what is known of it is as old as it was. */
  #settle(handle: string, entry: Entry): void {
    entry.generation = this.#settings.generation;
    const settings = this.#settings.of(handle);
    if (entry.settings === settings) return;
    entry.settings = settings;
    if (entry.reply === undefined) return;
    const { minimumMs, maximumMs } = this.#bounds(settings, entry.reply.attributes);
    entry.timeoutMs = Math.min(Math.max(entry.timeoutMs, minimumMs), maximumMs);
    entry.validUntilMs = entry.confirmedMs + believedMs(entry);
  }

  /** What the file's time-outs lie between. */
  #times(handle: string, entry: Entry, attributes: Attributes): BelievedFor {
    if (entry.generation !== this.#settings.generation) this.#settle(handle, entry);
    return this.#bounds(entry.settings, attributes);
  }

  #bounds(settings: FileSettings | undefined, attributes: Attributes): BelievedFor {
    const forDirectories = settings?.directoryAttributes ?? this.#directoryTimes;
    return settings === undefined || attributes.type === FileType.DIRECTORY ? forDirectories : settings.attributes;
  }
}

/** Past for every clock. */
const longAgoMs = Number.NEGATIVE_INFINITY;

function believedMs({ settings, timeoutMs, reply }: Entry): number {
  if (settings?.consistency === 'strict') return longAgoMs;
  const isFile = reply?.attributes.type !== FileType.DIRECTORY;
  return settings?.consistency === 'fixed' && isFile ? fixedMs : timeoutMs;
}

/** The last third of its time. */
function agingAtMs({ validUntilMs, timeoutMs }: Entry): number {
  return validUntilMs - timeoutMs / 3;
}

function compareTimes(a: Time, b: Time): number {
  return a.seconds === b.seconds ? a.nanoseconds - b.nanoseconds : a.seconds - b.seconds;
}

export function samePermissions(a: Attributes, b: Attributes): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

/** Equal in all that a change moves (atime is no change). */
function sameFile(a: Attributes, b: Attributes): boolean {
  return a === b || (sameContent(a, b) && samePermissions(a, b) && a.nlink === b.nlink && a.fileid === b.fileid);
}
