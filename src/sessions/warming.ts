/**
 * `viaduct warm`: has a file, or its working set, fetched into the cache, and tells how far it is.
 *
 *     path ──LOOKUPs──> file ──> what is wanted of it ──> fetched below demand, progress twice a second ──> done
 */
import { type Clock, limits, sleep, ViaductError } from '../base/mod.ts';
import type { Warming, WorkingSets } from '../layers/mod.ts';
import { type Call, type Credential, type Failure, FileType, Status, statusName } from '../vfs/mod.ts';
import { noFile, type Paths } from './paths.ts';
import type { TaskProgress, TaskResult } from './tasks.ts';

export interface WarmingParts {
  readonly layer: WorkingSets;
  readonly paths: Paths;
  /** This process's own, for what it asks on nobody's behalf. */
  readonly credential: Credential;
  readonly clock: Clock;
  readonly awaySinceMs: () => number | undefined;
}

type Wanted = Extract<Warming, { status: 0 }>;

const progressMs = 500;
/** After so long without a block of it, that is said. */
const quietMs = 30_000;
const findMs = 10_000;
/** The rate is that of the last seconds. */
const rateSamples = 10;

export class SessionWarming {
  readonly #parts: WarmingParts;

  constructor(parts: WarmingParts) {
    this.#parts = parts;
  }

  async warm(file: string, isWhole: boolean, onProgress: (progress: TaskProgress) => void): Promise<TaskResult> {
    const { clock } = this.#parts;
    const begun = await Promise.race([this.#begin(file, isWhole), sleep(clock, findMs)]);
    if (begun === undefined)
      throw new ViaductError('TIMED_OUT', {
        cause: `${file} could not be looked up within ${findMs / 1000} s: the origin does not answer.`,
        remedy: 'Try again when the origin is back (`viaduct status`).',
      });
    if (begun.status !== 0) throw refusal(file, begun.status);
    return this.#follow(file, begun, onProgress);
  }

  async #begin(file: string, isWhole: boolean): Promise<Warming> {
    const { layer, paths, credential } = this.#parts;
    const call: Call = { credential, peer: 'warm', priority: 'prefetch' };
    const found = await paths.find(file);
    const got = found === undefined ? undefined : await layer.getattr(call, { object: found.handle });
    if (found === undefined || got?.status !== 0 || got.attributes.type !== FileType.REGULAR)
      throw noFile(file, found === undefined ? 'there is no such file in the export' : 'this is no regular file');
    return layer.warm(call, found.handle, got.attributes, isWhole);
  }

  async #follow(
    file: string,
    { wanted, blocks }: Wanted,
    onProgress: (progress: TaskProgress) => void,
  ): Promise<TaskResult> {
    const { clock } = this.#parts;
    const samples = [{ atMs: clock.now(), left: blocks }];
    let movedMs = clock.now();
    const tell = (): void => {
      const left = Math.min(wanted.leftBlocks, blocks);
      if (left !== samples.at(-1)?.left) movedMs = clock.now();
      samples.push({ atMs: clock.now(), left });
      if (samples.length > rateSamples) samples.shift();
      onProgress(this.#progress(blocks, samples, clock.now() - movedMs));
    };
    onProgress(this.#progress(blocks, samples, 0));
    while (!wanted.hasEnded) {
      await Promise.race([wanted.ended, sleep(clock, progressMs)]);
      if (!wanted.hasEnded) tell();
    }
    if (wanted.failure !== undefined)
      return {
        outcome: 'incomplete',
        problems: [`${file}: some of it could not be fetched: ${whyNot(wanted.failure)}`],
      };
    if (wanted.isGivenUp) return { outcome: 'closed', problems: [`${file} was not fetched to its end`] };
    if (wanted.failedBlocks === 0) return { outcome: 'done', problems: [] };
    const bytes = wanted.failedBlocks * limits.blockBytes;
    return { outcome: 'incomplete', problems: [`${file}: some of it could not be fetched: ${bytes} bytes`] };
  }

  #progress(
    blocks: number,
    samples: readonly { readonly atMs: number; readonly left: number }[],
    stillMs: number,
  ): TaskProgress {
    const first = samples[0]!;
    const last = samples.at(-1)!;
    const pendingBytes = last.left * limits.blockBytes;
    const seconds = (last.atMs - first.atMs) / 1000;
    const rate = seconds === 0 ? 0 : Math.max(0, ((first.left - last.left) * limits.blockBytes) / seconds);
    const sinceMs = this.#parts.awaySinceMs();
    const still = stillMs < quietMs ? undefined : `nothing of it has come for ${Math.round(stillMs / 1000)} s`;
    const problem =
      sinceMs === undefined ? still : `the origin has not answered since ${new Date(sinceMs).toISOString()}`;
    return {
      state: 'fetching',
      totalBytes: blocks * limits.blockBytes,
      pendingBytes,
      bytesPerSecond: Math.round(rate),
      secondsLeft: rate === 0 ? undefined : Math.ceil(pendingBytes / rate),
      problem,
    };
  }
}

function whyNot(failure: Failure): string {
  switch (failure) {
    case Status.STALE:
    case Status.BADHANDLE:
      return `it is not at the origin any more (${statusName(failure)})`;
    case Status.JUKEBOX:
      return `it is being changed all the time, or the origin is busy (${statusName(failure)})`;
    default:
      return `the origin does not give it (${statusName(failure)})`;
  }
}

function refusal(file: string, status: Exclude<Warming['status'], 0>): ViaductError {
  if (status === 'too-large')
    return new ViaductError('CONFIGURATION_INVALID', {
      cause: `${file} and what else is fetched as a whole are larger than the cache can hold.`,
      remedy: 'Give the session a larger --cache-size, or fetch the working set alone (--working-set).',
    });
  if (status === 'no-set')
    return new ViaductError('CONFIGURATION_INVALID', {
      cause: `${file}: no working set is known, neither here nor at the origin.`,
      remedy:
        'Use the file once (a boot teaches its working set), name another --purpose at the session, or fetch all of it.',
    });
  return new ViaductError('ORIGIN_REFUSED', {
    cause: `${file} may not be read, or not now (${statusName(status)}).`,
    remedy: 'It is read in the name of the user who runs the session: let that user read it at the origin.',
  });
}
