/**
 * SIGINT and SIGTERM end a long-running command cleanly; a second one ends it at once. SIGUSR1 and SIGUSR2 are orders to a session.
 *
 *   running ──signal──► `requested` settles, the command closes what it opened ──► exit 0
 *      │       └──second signal──► exit 128 + signal number
 *      ├──SIGUSR1──► onOrder('write-back')      write back now
 *      └──SIGUSR2──► onOrder('flush')           write back now, then forget what is cached
 *
 * SIGHUP ends a command, whose terminal is gone; a daemon, which has none, reads its configuration again.
 *
 * Orders that come before somebody listens are lost, not deadly. (Node would open its inspector on SIGUSR1; bin/viaduct switches
 * that off by --disable-sigusr1, which also blocks the signal: native/signal-mask.ts.)
 */
import { constants } from 'node:os';
import { unblockSignal } from '../native/mod.ts';
import { outliveOutput } from './output.ts';

const ending = ['SIGINT', 'SIGTERM'] as const;

export class Signals {
  /** Settles at the first signal, or when the command asks for the end itself. */
  readonly requested: Promise<void>;
  /** What a second signal does before the process ends: what must not be left behind even then. */
  onForce: () => void = () => {};
  /** What SIGUSR1 and SIGUSR2 do. */
  onOrder: (order: 'write-back' | 'flush') => void = () => {};
  /** What SIGHUP does in place of ending. */
  onHangup: (() => void) | undefined;
  #request: () => void = () => {};
  #received = false;

  constructor() {
    this.requested = new Promise((resolve) => {
      this.#request = resolve;
    });
    for (const signal of ending) process.on(signal, () => this.#take(signal));
    // The terminal is gone, and with it whoever would end the command.
    process.on('SIGHUP', () => (this.onHangup === undefined ? this.#take('SIGTERM') : this.onHangup()));
    process.on('SIGUSR1', () => this.onOrder('write-back'));
    process.on('SIGUSR2', () => this.onOrder('flush'));
    unblockSignal('SIGUSR1');
    outliveOutput();
  }

  /** Whether a signal has come. */
  get received(): boolean {
    return this.#received;
  }

  /** A signal counts as the first one again: the command could not end and goes on. */
  rearm(): Promise<void> {
    this.#received = false;
    return new Promise((resolve) => {
      this.#request = resolve;
    });
  }

  #take(signal: (typeof ending)[number]): void {
    if (this.#received) {
      this.onForce();
      process.exit(128 + constants.signals[signal]);
    }
    this.#received = true;
    this.#request();
  }
}
