/**
 * Sends the unstable data of one file again after the origin restarted, and commits it.
 *
 *     wait for calls under way -> WRITE what another instance took, several at a time -> COMMIT
 *          ^                                                                               |
 *          +---- the verifier changed once more: pause, begin again -----------------------+
 *
 * The caller holds new WRITE and SETATTR calls of the file back meanwhile, so what is sent is the newest. Ends when everything
 * was committed by the instance that took it, or with the first status that the origin refused with (the data stays).
 */
import { type Clock, type Log, sleep } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { copied, type Extent } from './unstable-extents.ts';
import type { ResendOutcome, UnstableFile } from './unstable-files.ts';

export interface ResendContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly originVerifier: () => vfs.Verifier | undefined;
  readonly tick: () => number;
  readonly idle: () => Promise<void>;
  /** Changes the file's extents. */
  readonly change: (action: () => void) => void;
  /** Tells of the verifier of a COMMIT. */
  readonly notice: (verifier: vfs.Verifier) => void;
}

/** WRITEs of one file that are sent again at a time. */
const window = 8;
const pauseMinimumMs = 100;
const pauseMaximumMs = 5_000;

export async function resend(next: vfs.Filesystem, file: UnstableFile, context: ResendContext): Promise<ResendOutcome> {
  let bytes = 0;
  await context.idle();
  for (let attempt = 0; ; attempt++) {
    const current = context.originVerifier();
    const lost = current === undefined ? [] : file.extents.lost(current);
    for (let i = 0; i < lost.length; i += window) {
      const batch = lost.slice(i, i + window);
      const statuses = await Promise.all(batch.map((extent) => resendExtent(next, file, extent, context)));
      const refused = statuses.find((status) => status !== 0);
      if (refused !== undefined) return { status: refused, bytes };
      for (const extent of batch) bytes += extent.data.length;
    }
    const { call } = file;
    if (call === undefined || file.extents.count === 0) return { status: 0, bytes };
    const tick = context.tick();
    const reply = await next.commit(call, { object: file.handle, offset: 0, count: 0 });
    if (reply.status !== 0) return { status: reply.status, bytes };
    context.change(() => file.extents.committed(0, Number.POSITIVE_INFINITY, reply.verifier, tick));
    context.notice(reply.verifier);
    if (file.extents.count === 0) return { status: 0, bytes };
    if (attempt === 0) continue;
    context.log.warn({ attempt }, 'the origin restarted again while unstable data was sent again');
    await sleep(context.clock, Math.min(pauseMinimumMs * 2 ** attempt, pauseMaximumMs));
  }
}

/** Sends one extent; what the origin took becomes an extent of the instance that answered. */
async function resendExtent(
  next: vfs.Filesystem,
  file: UnstableFile,
  extent: Extent,
  context: ResendContext,
): Promise<vfs.StatusCode> {
  let { offset, data } = extent;
  while (data.length > 0) {
    const reply = await next.write(extent.call, {
      object: file.handle,
      offset,
      count: data.length,
      stable: vfs.Stability.UNSTABLE,
      data: [data],
    });
    if (reply.status !== 0) return reply.status;
    if (reply.count === 0) return vfs.Status.IO;
    const { committed, count, verifier } = reply;
    const from = offset;
    const taken = data.subarray(0, count);
    context.change(() => {
      file.extents.cut(from, from + count);
      if (committed !== vfs.Stability.UNSTABLE) return;
      const own = count === extent.data.length ? taken : copied([taken], count);
      file.extents.add({ offset: from, data: own, verifier, tick: context.tick(), call: extent.call });
    });
    offset += count;
    data = data.subarray(count);
  }
  return 0;
}
