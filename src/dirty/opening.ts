/** Opening a log: what is there is found and read, or a new one begun; nothing is changed on the disk yet. */
import type { DirtyLogOptions, Recovery } from './contract.ts';
import { addressOf, logSeed, segmentName, segmentNumber } from './format.ts';
import { type Chosen, choose, replay, type Survey, survey } from './recovery.ts';
import { Segments } from './segments.ts';
import { type SegmentFacts, verifierFrom } from './snapshot.ts';
import { LogState } from './state.ts';

export interface OpenedLog {
  readonly state: LogState;
  readonly segments: Segments;
  readonly facts: SegmentFacts;
  readonly recovery: Recovery;
  readonly nextLsn: number;
  /** What of the log is known to be stable: up to this record, before this address. */
  readonly stableLsn: number;
  readonly stableAddress: number;
  /** Removes the files that are not part of the log: of a torn end, or not needed any more. Only after a new segment was begun, if that goes. */
  removeVoid(): Promise<void>;
}

export async function openLog(options: DirtyLogOptions): Promise<OpenedLog> {
  const { directory, identity, log } = options;
  const found = await survey(directory, identity);
  try {
    return found.header === undefined ? await fresh(options) : await existing(options, found);
  } catch (error) {
    for (const { segment } of found.segments) await segment.file.close().catch(() => {});
    log.debug({ cause: String(error) }, 'the dirty log was not opened');
    throw error;
  }
}

async function fresh(options: DirtyLogOptions): Promise<OpenedLog> {
  const { random } = options;
  const state = new LogState();
  state.verifier = verifierFrom(random.bytes(new Uint8Array(8)));
  const uuid = random.bytes(new Uint8Array(16));
  const segments = new Segments(segmentsOptions(options));
  // Of a first open that was cut off: never used.
  for (const name of await options.directory.list()) {
    if (segmentNumber(name) !== undefined) await options.directory.remove(name);
  }
  await segments.findReserve();
  return {
    ...{ state, segments, facts: factsFor(options, uuid), nextLsn: 1, stableLsn: 0, stableAddress: 0 },
    recovery: { found: false, cleanlyClosed: true, lostTail: false, records: 0, dirtyBytes: 0 },
    async removeVoid() {},
  };
}

async function existing(options: DirtyLogOptions, found: Survey): Promise<OpenedLog> {
  const { random, log, bootId } = options;
  const header = found.header!;
  const facts = factsFor(options, header.uuid);
  const state = new LogState();
  const chosen = await choose(found);
  const { records, cleanlyClosed, stableAddress, unneeded } = await replay(chosen, logSeed(header.uuid), state, log);
  const lostTail = chosen.newest.hasTail || chosen.void.some((one) => one.lastLsn > chosen.newest.lastLsn);
  // A process that is killed leaves all that it wrote; unless a sync failed, and the kernel forgot some of it.
  if (!cleanlyClosed && (chosen.newest.header?.bootId !== bootId || lostTail)) {
    state.verifier = verifierFrom(random.bytes(new Uint8Array(8)));
  }
  const segments = new Segments(segmentsOptions(options));
  for (const { segment } of chosen.kept) segments.add(segment);
  for (const segment of unneeded) segments.leaveOut(segment);
  const { number, end } = chosen.newest.segment;
  if (state.epochs.count === 0) state.boundary = Math.max(state.boundary, addressOf(number, end));
  await segments.findReserve();
  segments.nextNumber = Math.max(...found.segments.map(({ segment }) => segment.number)) + 1;
  return {
    ...{ state, segments, facts, stableAddress, stableLsn: chosen.claim },
    nextLsn: Math.max(...found.segments.map((one) => one.lastLsn)) + 1,
    recovery: { found: true, cleanlyClosed, lostTail, records, dirtyBytes: state.dirtyBytes },
    removeVoid: () => removeVoid(options, chosen),
  };
}

async function removeVoid({ directory, log }: DirtyLogOptions, chosen: Chosen): Promise<void> {
  for (const { segment } of chosen.void.splice(0)) {
    await segment.file.close().catch(() => {});
    try {
      await directory.remove(segmentName(segment.number));
    } catch (error) {
      log.warn({ cause: String(error) }, 'a file that is not part of the dirty log any more could not be removed');
    }
  }
}

function segmentsOptions(options: DirtyLogOptions) {
  const { directory, limitBytes, log, segmentBytes } = options;
  return { directory, limitBytes, segmentBytes, log };
}

function factsFor(options: DirtyLogOptions, uuid: Uint8Array): SegmentFacts {
  const { identity, bootId, clock } = options;
  return { uuid, seed: logSeed(uuid), identity, bootId, wallTimeMs: () => clock.wallTimeMs() };
}
