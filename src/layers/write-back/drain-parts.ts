/** What the parts of one drain share, and small things that all of them do. */
import type { Clock, Log } from '../../base/mod.ts';
import type { FileNumber, View } from '../../dirty/mod.ts';
import { type Payload, statusName } from '../../vfs/mod.ts';
import type { OriginClock } from './conflict-clock.ts';
import type { DrainContext, DrainOptions, FileRecord } from './contract.ts';
import type { DrainGate } from './drain-gate.ts';
import type { KnownPolicy } from './drain-known-policy.ts';
import type { DrainMeter } from './drain-meter.ts';
import type { OriginCalls } from './drain-origin.ts';
import type { RecentAnswers } from './drain-recent.ts';

export interface DrainParts {
  readonly context: DrainContext;
  readonly clock: Clock;
  readonly logger: Log;
  readonly options: DrainOptions;
  readonly gate: DrainGate;
  readonly meter: DrainMeter;
  readonly origin: OriginCalls;
  readonly originClock: OriginClock;
  readonly recent: RecentAnswers;
  /** Present if the origin may be asked what it has already. */
  readonly known: KnownPolicy | undefined;
  /** Largest WRITE that the server takes; learnt. */
  writeMaximum: number;
  /** Nothing more may leave: closed, or the lease is lost. */
  isStopped(): boolean;
  /** Makes the log durable: intents, and what was written back before. */
  sync(): Promise<void>;
  /** Tells of a conflict, once. */
  onConflict(file: FileNumber): void;
}

/** All bytes of a view in their order; undefined if some do not verify. */
export async function bytesOf(view: View): Promise<Payload | undefined> {
  const slices: Uint8Array[] = [];
  for (const { data } of view.pieces) {
    const part = data instanceof Promise ? await data : data;
    if (part === undefined) return undefined;
    slices.push(...part);
  }
  return slices;
}

/** A file as people know it. */
export function nameOf(record: FileRecord): string {
  const name = record.path ?? record.place?.name;
  return name === undefined
    ? `handle:${Buffer.from(record.handle, 'latin1').toString('hex')}`
    : Buffer.from(name, 'latin1').toString();
}

export function refusalOf(record: FileRecord, operation: string, status: number): string {
  return `${nameOf(record)}: the origin refuses ${operation} with ${statusName(status)}`;
}
