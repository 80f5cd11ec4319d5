/** The system under test: the proxy's stack with write-back, as src/sessions/build.ts makes it, over a simulated host and network. */
import type { Log } from '../../src/base/mod.ts';
import { DirtyLog, type DirtyLogFace } from '../../src/dirty/mod.ts';
import { AccessCache, AttributeCache, Drain, OriginPresence, Stability, WriteBack } from '../../src/layers/mod.ts';
import type { Filesystem } from '../../src/vfs/mod.ts';
import type { ScenarioPlan } from './plan.ts';
import type { Surroundings } from './surroundings.ts';

export interface System {
  readonly top: Filesystem;
  readonly layer: WriteBack;
  readonly log: DirtyLogFace;
  close(): Promise<void>;
}

export async function buildSystem(plan: ScenarioPlan, logger: Log, surroundings: Surroundings): Promise<System> {
  const { clock, random, directory, connection, bootId } = surroundings;
  let pressed: (() => void) | undefined;
  const log = await DirtyLog.open({
    directory,
    identity: 'simulated session',
    limitBytes: plan.limitBytes,
    segmentBytes: plan.segmentBytes,
    bootId,
    keeps: plan.mode === 'redirect',
    clock,
    log: logger,
    random,
    onPressure: () => pressed?.(),
  });
  const presence = new OriginPresence({ clock, log: logger });
  const stability = new Stability(connection, { clock, log: logger, random });
  let reconnects = 0;
  let lostMs: number | undefined;
  connection.listener = {
    onReconnect: () => {
      reconnects++;
      stability.originMayHaveRestarted();
    },
    onReply: () => presence.replied(),
    onLost: (reason) => {
      lostMs = clock.now();
      presence.lost(reason);
    },
  };
  const times = {
    fileMinimumMs: plan.attributeMs,
    fileMaximumMs: plan.attributeMs,
    directoryMinimumMs: plan.attributeMs,
    directoryMaximumMs: plan.attributeMs,
    nameMs: plan.attributeMs,
    negativeNameMs: plan.attributeMs,
  };
  const attributes = new AttributeCache(stability, { clock, options: times, presence });
  const next = new AccessCache(attributes, { clock, presence });
  const options = {
    writeBackAfterMs: plan.writeBackAfterMs,
    rateBytesPerSecond: undefined,
    isManual: plan.mode === 'redirect',
    conflictDirectory: undefined,
    hostName: 'simulated',
  };
  const layer = new WriteBack(next, {
    log,
    clock,
    logger,
    origin: {
      fresh: stability,
      conditionalWrites: () => false,
      restarts: () => reconnects + stability.stats().originRestarts,
      lostMs: () => lostMs,
      lease: () => ({ state: 'none' }),
    },
    options: { commit: plan.commit, mode: plan.mode, dirtyAgeMs: plan.dirtyAgeMs },
    createDrain: (context) => new Drain(context, { clock, logger, random, options }),
  });
  pressed = () => layer.relieve();
  return { top: layer, layer, log, close: () => layer.close() };
}
