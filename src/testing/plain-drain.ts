/**
 * The smallest drain that keeps the contract: epochs in order, one call after the other, nothing but when it is asked (or, with
 * `isEager`, whenever something was sealed). For tests of what stands over it.
 */
import type { EpochPlan, FilePlan } from '../dirty/mod.ts';
import type { DrainContext, DrainFace, DrainResult, DrainStatus } from '../layers/mod.ts';
import { type Call, credential, Stability, statusName } from '../vfs/mod.ts';

const done: DrainResult = { outcome: 'done', problems: [] };

export class PlainDrain implements DrainFace {
  requests = 0;
  /** Whoever asks waits for this first. */
  hold: Promise<void> | undefined;
  readonly #context: DrainContext;
  readonly #isEager: boolean;
  #last: Promise<DrainResult> = Promise.resolve(done);
  #isClosed = false;
  #isNoted = true;

  constructor(context: DrainContext, isEager = false) {
    this.#context = context;
    this.#isEager = isEager;
  }

  wake(): void {
    if (this.#isEager) void this.request();
  }

  request(upTo = this.#context.log.seal()): Promise<DrainResult> {
    this.requests++;
    this.#last = this.#last.then(() => this.#drain(upTo));
    return this.#last;
  }

  noted(): Promise<void> | undefined {
    return this.#isNoted ? undefined : this.#context.log.sync();
  }

  async #drain(upTo: number): Promise<DrainResult> {
    const { log } = this.#context;
    await this.hold;
    for (;;) {
      if (this.#isClosed) return { outcome: 'closed', problems: [] };
      const oldest = log.epochs()[0];
      if (oldest === undefined || oldest.number > upTo || oldest.sealedMs === undefined) return done;
      const plan = await log.plan(oldest.number);
      for (const file of plan.files) {
        const problem = await this.#write(plan, file);
        if (problem === undefined) continue;
        plan.release();
        return { outcome: 'refused', problems: [problem] };
      }
      log.drained(oldest.number);
      this.#isNoted = false;
      plan.release();
      await log.sync();
      this.#isNoted = true;
    }
  }

  async #write(plan: EpochPlan, { file, cutTo, extents, sizeAfter, writer }: FilePlan): Promise<string | undefined> {
    const { files, next, log, settled } = this.#context;
    const record = files.byNumber(file);
    const call: Call = {
      credential: files.credentialOf(writer) ?? credential(0, 0),
      peer: 'write-back',
      priority: 'prefetch',
    };
    const object = record?.handle;
    if (object === undefined || log.state(file) === undefined) return undefined;
    if (cutTo !== undefined) {
      const { status } = await next.setattr(call, { object, set: { size: cutTo } });
      if (status !== 0) return `SETATTR: ${statusName(status)}`;
    }
    for (const { offset, count } of extents) {
      const view = plan.read(file, offset, count);
      const data = await Promise.all(view.pieces.map(async (piece) => (await piece.data) ?? []));
      const reply = await next.write(call, { object, offset, count, stable: Stability.FILE_SYNC, data: data.flat() });
      view.release();
      if (reply.status !== 0) return `WRITE: ${statusName(reply.status)}`;
    }
    const { status } = await next.setattr(call, { object, set: { size: sizeAfter } });
    if (status !== 0) return `SETATTR: ${statusName(status)}`;
    const isLast = log.state(file)?.lastEpoch === plan.epoch;
    if (isLast && record?.times !== undefined) {
      await next.setattr(call, { object, set: record.times });
      files.update(object, { times: undefined });
    }
    const got = await next.getattr(call, { object });
    if (got.status !== 0) return `GETATTR: ${statusName(got.status)}`;
    files.update(object, { base: got.attributes });
    settled(object, got.attributes);
    return undefined;
  }

  status(): DrainStatus {
    const pendingBytes = this.#context.log.stats().dirtyBytes;
    return {
      state: 'idle',
      pendingBytes,
      epochsPending: this.#context.log.epochs().length,
      knownBytes: 0,
      movedBytes: 0,
      bytesPerSecond: 0,
      secondsLeft: pendingBytes === 0 ? 0 : undefined,
      problem: undefined,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.race([this.#last, Promise.resolve()]);
  }
}
