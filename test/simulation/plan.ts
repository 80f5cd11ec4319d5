/** What one seed means: how the run's parts are, what its clients do and what goes wrong. */
import type { Random } from '../../src/base/mod.ts';
import { Chance } from '../../src/testing/mod.ts';

export interface ScenarioPlan {
  readonly mode: 'write-back' | 'redirect';
  readonly commit: 'local' | 'origin';
  /** What becomes of a redirected session in the end. */
  readonly redirectEnd: 'commit' | 'discard';
  readonly clients: number;
  /** Of all clients together. */
  readonly operations: number;
  readonly crashes: number;
  /** Of crashes; the others are power losses. */
  readonly killShare: number;
  /** Events between two crashes, about. */
  readonly crashEvery: number;
  readonly latencyMs: number;
  readonly lateMs: number;
  readonly quickShare: number;
  readonly syncMs: number;
  readonly writeBackAfterMs: number;
  readonly dirtyAgeMs: number;
  readonly limitBytes: number;
  readonly segmentBytes: number;
  /** Of the attribute cache. */
  readonly attributeMs: number;
  readonly timeStepMs: number | undefined;
  readonly withoutWcc: boolean;
  readonly shortWriteShare: number;
  readonly transferBytes: number;
  /** Mean time between faults of each kind; undefined: never. */
  readonly cutEveryMs: number | undefined;
  readonly restartEveryMs: number | undefined;
  readonly fullEveryMs: number | undefined;
  readonly failedSyncEveryMs: number | undefined;
  readonly failedWriteEveryMs: number | undefined;
  /** Longest pause of a client. */
  readonly thinkMs: number;
  readonly work: Readonly<Record<WorkName, number>>;
}

export type WorkName =
  | 'write'
  | 'stableWrite'
  | 'burst'
  | 'commit'
  | 'read'
  | 'look'
  | 'resize'
  | 'setTime'
  | 'setMode'
  | 'create'
  | 'remove'
  | 'rename'
  | 'transaction'
  | 'replace'
  | 'close';

const MiB = 1024 * 1024;

export function drawPlan(random: Random): ScenarioPlan {
  const chance = new Chance(random);
  const sometimes = <T>(probability: number, value: () => T): T | undefined =>
    chance.happens(probability) ? value() : undefined;
  const weight = (usual: number): number => usual * chance.pick([0, 0.5, 1, 1, 3]);
  const mode = chance.happens(0.15) ? 'redirect' : 'write-back';
  const isFull = chance.happens(0.15);
  const names = mode === 'redirect' ? 0 : 1;
  return {
    mode,
    commit: chance.happens(0.2) ? 'origin' : 'local',
    redirectEnd: chance.pick(['commit', 'discard'] as const),
    clients: chance.pick([1, 1, 2, 3, 4]),
    operations: chance.between(40, 160),
    crashes: chance.pick([0, 5, 10, 15, 20]),
    killShare: chance.pick([0, 0.3, 0.5, 1]),
    crashEvery: chance.pick([8, 20, 40, 80, 150]),
    latencyMs: chance.pick([0.5, 5, 20, 100]),
    lateMs: chance.pick([0, 0, 10, 200]),
    quickShare: chance.pick([0, 0.5, 1]),
    syncMs: chance.pick([1, 4, 20]),
    writeBackAfterMs: chance.pick([0, 20, 200, 2_000]),
    dirtyAgeMs: chance.pick([100, 1_000, 30_000]),
    ...chance.pick([
      { limitBytes: 16 * MiB, segmentBytes: 2 * MiB },
      { limitBytes: 4 * MiB, segmentBytes: 256 * 1024 },
      { limitBytes: 64 * MiB, segmentBytes: 64 * 1024 },
    ]),
    attributeMs: chance.pick([0, 100, 3_000]),
    timeStepMs: sometimes(0.25, () => chance.pick([1, 10, 1_000])),
    withoutWcc: chance.happens(0.2),
    // A client whose WRITE goes through to the origin, the log being full, would have to send the rest: ours does not.
    shortWriteShare: isFull ? 0 : chance.pick([0, 0, 0, 0.1]),
    transferBytes: chance.pick([32 * 1024, 64 * 1024, MiB, MiB]),
    cutEveryMs: sometimes(0.4, () => chance.pick([100, 1_000, 5_000])),
    restartEveryMs: sometimes(0.4, () => chance.pick([100, 1_000, 5_000])),
    fullEveryMs: isFull ? chance.pick([500, 3_000]) : undefined,
    failedSyncEveryMs: sometimes(0.15, () => chance.pick([100, 1_000])),
    failedWriteEveryMs: sometimes(0.1, () => chance.pick([200, 2_000])),
    thinkMs: chance.pick([0, 2, 20, 200]),
    work: {
      write: 20 + weight(20),
      stableWrite: weight(5),
      burst: weight(4),
      commit: weight(10),
      read: weight(15),
      look: weight(8),
      resize: weight(5),
      setTime: weight(2),
      setMode: names * weight(1),
      create: names * (1 + weight(2)),
      remove: names * weight(2),
      rename: names * weight(2),
      transaction: names * weight(3),
      replace: names * weight(2),
      close: weight(0.3),
    },
  };
}
