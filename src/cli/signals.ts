/**
 * SIGINT and SIGTERM end a long-running command cleanly; a second one ends it at once.
 *
 *   running ──signal──► `requested` settles, the command closes what it opened ──► exit 0
 *              └──second signal──► exit 128 + signal number
 */
import { constants } from 'node:os';

const ending = ['SIGINT', 'SIGTERM'] as const;

export class Signals {
  /** Settles at the first signal, or when the command asks for the end itself. */
  readonly requested: Promise<void>;
  /** What a second signal does before the process ends: what must not be left behind even then. */
  onForce: () => void = () => {};
  #request: () => void = () => {};
  #received = false;

  constructor() {
    this.requested = new Promise((resolve) => {
      this.#request = resolve;
    });
    for (const signal of ending) process.on(signal, () => this.#take(signal));
    // The terminal is gone, and with it whoever would end the command.
    process.on('SIGHUP', () => this.#take('SIGTERM'));
    process.stdout.on('error', ignoreBrokenPipe);
    process.stderr.on('error', ignoreBrokenPipe);
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

function ignoreBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}
