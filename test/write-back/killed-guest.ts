/**
 * A guest at work while the proxy under it is killed again and again, and what the origin has is looked at. The guest says `WORK` when it
 * has begun.
 *
 *     guest    boots ── WORK ──────────────────────────────── done, or its power is cut
 *     proxy                    ── killed ─ back ── killed ─ back ──
 *     looks                ─ · ─ · ─ ─ · ─ · ─ · ─ · ─ · ─ · ─ · ─ · ─►  until everything is written back
 */
import assert from 'node:assert/strict';
import type { Random } from '../../src/base/mod.ts';
import { type Kernel, type MicroVmOptions, type MicroVmResult, runMicroVm } from '../kernel/microvm.ts';
import type { Bed } from './bed.ts';
import { assertNoErrors } from './guest-lines.ts';
import type { Sampler } from './sampler.ts';

export interface GuestOptions {
  readonly kernel: Kernel;
  readonly seconds: number;
  readonly kills: number;
}

/** Of the write-back, one a round. */
export function delayOf(round: number): string {
  return ['100ms', '1s', '5s'][round % 3]!;
}

export interface KilledGuest extends GuestOptions {
  readonly random: Random;
  readonly machine: Omit<MicroVmOptions, 'node' | 'silenceMs' | 'wholeMs' | 'onLine' | 'signal'>;
  readonly sampler: Sampler;
  /** The proxy stays away for less than this. */
  readonly awayMs: number;
  /** No line may match. */
  readonly errors: RegExp;
  /** The guest loses its power after the last kill, before this time. */
  readonly powerLossMs?: number | undefined;
}

/** What the guest said; everything is at the origin then, and every look has held. */
export async function workUnderKills(bed: Bed, guest: KilledGuest): Promise<MicroVmResult> {
  const { kernel, seconds, kills, random, machine, sampler, awayMs, errors, powerLossMs } = guest;
  const power = new AbortController();
  const begun = Promise.withResolvers<void>();
  const running = runMicroVm(kernel, {
    ...machine,
    node: false,
    signal: power.signal,
    wholeMs: (seconds + 180) * 1000,
    onLine(line) {
      if (line === 'WORK') begun.resolve();
    },
  });
  const pause = (ms: number): Promise<unknown> =>
    Promise.race([running, new Promise((resolve) => setTimeout(resolve, ms))]);
  await Promise.race([running, begun.promise]);
  sampler.start();
  for (let kill = 1; kill <= kills; kill++) {
    await pause(((seconds * 1000) / (kills + 1)) * (0.6 + (random.uint32() % 40) / 100));
    await bed.killProxy();
    await pause(random.uint32() % awayMs);
    await bed.startProxy();
  }
  if (powerLossMs !== undefined) {
    await pause(random.uint32() % powerLossMs);
    power.abort();
  }
  const result = await running;
  if (powerLossMs === undefined) assert.equal(result.exitCode, 0, result.lines.slice(-40).join('\n'));
  assertNoErrors(result.lines, errors);
  await bed.writeBackAll();
  await sampler.stop();
  return result;
}
