/**
 * The link as a process of its own, so that its work is not the measured program's. The child ends when its parent does.
 *
 * ```
 *  parent ── {routes, roundTripMs, bitsPerSecond} ──► child
 *         ◄─ {kind: ready, addresses} | {kind: failed} ──
 *         ── counters | cut | restore ──► ◄─ {kind: counters} | {kind: done} ──   one at a time, in order
 * ```
 */
import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, ViaductError } from '../base/mod.ts';
import type { Endpoint, LinkCounters, LinkOptions } from './link.ts';

/** What the parent tells. The first message is the link's description. */
export type LinkDescription = Pick<LinkOptions, 'routes' | 'roundTripMs' | 'bitsPerSecond' | 'queueMs'>;
export type LinkCommand = 'counters' | 'cut' | 'restore';
/** What the child answers. */
export type LinkAnswer =
  | { readonly kind: 'ready'; readonly addresses: readonly Endpoint[] }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly cause: string; readonly remedy: string }
  | { readonly kind: 'counters'; readonly counters: LinkCounters }
  | { readonly kind: 'done' };

export interface LinkProcess {
  readonly addresses: readonly Endpoint[];
  readonly pid: number;
  counters(): Promise<LinkCounters>;
  cut(): Promise<void>;
  restore(): Promise<void>;
  close(): Promise<void>;
}

export async function startLinkProcess(description: LinkDescription): Promise<LinkProcess> {
  const entry = fileURLToPath(new URL(`./child${extname(import.meta.url)}`, import.meta.url));
  const child = fork(entry, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const waiting: { resolve: (answer: LinkAnswer) => void; reject: (error: Error) => void }[] = [];
  child.on('message', (answer) => waiting.shift()?.resolve(answer as LinkAnswer));
  void exited.then(() => {
    for (const waiter of waiting.splice(0)) waiter.reject(new Error('the link process ended'));
  });
  const ask = (message: LinkDescription | LinkCommand): Promise<LinkAnswer> =>
    new Promise((resolve, reject) => {
      if (!child.connected) return reject(new Error('the link process ended'));
      waiting.push({ resolve, reject });
      child.send(message);
    });
  const ready = await ask(description);
  if (ready.kind === 'failed') {
    await exited;
    throw new ViaductError(ready.code, { cause: ready.cause, remedy: ready.remedy });
  }
  return {
    addresses: ready.kind === 'ready' ? ready.addresses : [],
    pid: child.pid!,
    async counters() {
      const answer = await ask('counters');
      if (answer.kind !== 'counters') throw new Error(`the link process answered ${answer.kind}`);
      return answer.counters;
    },
    async cut() {
      await ask('cut');
    },
    async restore() {
      await ask('restore');
    },
    async close() {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}
