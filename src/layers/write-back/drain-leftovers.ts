/**
 * Records of clean files that a process before this one left unsettled: an intent whose epoch is drained, or times that were not sent.
 *
 * Nothing of ours waits for these files, so nothing can be lost; what is to be decided is only whether clients go on to be shown
 * what they were shown.
 */
import type * as vfs from '../../vfs/mod.ts';
import { isGone, isOurs } from './conflict.ts';
import type { FileRecord } from './contract.ts';
import { Caller, plainCall } from './drain-origin.ts';
import { type DrainParts, inParallel, nameOf } from './drain-parts.ts';
import { wccOf } from './times.ts';

const width = 16;

export function hasLeftovers(parts: DrainParts, record: FileRecord): boolean {
  return (
    (record.intent !== undefined || record.times !== undefined) && parts.context.log.state(record.number) === undefined
  );
}

export async function settleLeftovers(parts: DrainParts, records: readonly FileRecord[]): Promise<void> {
  await inParallel(records, width, async ({ handle }) => {
    const record = parts.context.files.get(handle);
    if (record !== undefined && !parts.isStopped() && hasLeftovers(parts, record)) await settle(parts, record);
  });
}

async function settle(parts: DrainParts, { handle }: FileRecord): Promise<void> {
  const { context, origin, logger } = parts;
  const { files } = context;
  const look = () => origin.ask(() => context.origin.fresh.getattr(plainCall, { object: handle }));
  let found = await look();
  let record = files.get(handle);
  if (record === undefined || !hasLeftovers(parts, record)) return;
  if (found.status !== 0) {
    if (isGone(found.status)) files.forget(handle);
    return;
  }
  if (!isOurs(record, found.attributes, undefined, undefined)) {
    // Changed by somebody else after all of ours was there: clients are shown that from now on.
    files.update(handle, { base: wccOf(found.attributes), intent: undefined, presented: undefined, times: undefined });
    return;
  }
  const { times } = record;
  if (times !== undefined && (await setTimes(parts, record, found.attributes))) {
    found = await look();
    record = files.get(handle);
    if (record === undefined || found.status !== 0) return;
  } else if (times !== undefined) logger.warn({ file: nameOf(record) }, 'times were not taken by the origin');
  const sent = record.times === times ? { times: undefined } : {};
  const { attributes } = found;
  files.update(handle, { base: wccOf(attributes), intent: undefined, ...sent });
  if (context.log.state(record.number) === undefined) context.settled(handle, attributes);
}

async function setTimes(parts: DrainParts, record: FileRecord, attributes: vfs.Attributes): Promise<boolean> {
  const { context, clock, originClock } = parts;
  const { handle: object, times } = record;
  const sinceMs = clock.wallTimeMs();
  const intent = { epoch: 0, base: wccOf(attributes), sinceMs, aliveMs: originClock.now() };
  context.files.update(object, { intent });
  await context.log.sync();
  const caller = new Caller(parts.origin, attributes);
  const set = { atime: times?.atime, mtime: times?.mtime };
  const reply = await caller.ask(undefined, (call) => context.next.setattr(call, { object, set }));
  return reply.status === 0;
}
