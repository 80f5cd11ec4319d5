/**
 * Whether the server can be reached, as a person sees it: told to the log and to one observer when it changes.
 *
 *     idle --first connection--> connected <--> disconnected (since, reason)
 *
 * A server that closes idle connections is still `connected`: only a failure with calls owed counts.
 */
import type { Clock, Log } from '../base/mod.ts';

export interface ClientState {
  readonly state: 'idle' | 'connected' | 'disconnected';
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly reason?: string;
}

export class ClientHealth {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #server: string;
  readonly #onState: ((state: ClientState) => void) | undefined;
  #state: ClientState;

  constructor(clock: Clock, log: Log, server: string, onState: ((state: ClientState) => void) | undefined) {
    this.#clock = clock;
    this.#log = log;
    this.#server = server;
    this.#onState = onState;
    this.#state = { state: 'idle', sinceMs: clock.wallTimeMs() };
  }

  state(): ClientState {
    return this.#state;
  }

  connected(): void {
    if (this.#state.state === 'connected') return;
    const sinceMs = this.#clock.wallTimeMs();
    const away = this.#state.state === 'disconnected';
    const outageMs = sinceMs - this.#state.sinceMs;
    this.#state = { state: 'connected', sinceMs };
    if (away) this.#log.info({ server: this.#server, outageMs: Math.round(outageMs) }, 'the server answers again');
    this.#onState?.(this.#state);
  }

  disconnected(reason: string): void {
    if (this.#state.state === 'disconnected') return;
    this.#state = { state: 'disconnected', sinceMs: this.#clock.wallTimeMs(), reason };
    this.#log.warn({ server: this.#server, reason }, 'the server does not answer: calls wait while it is tried again');
    this.#onState?.(this.#state);
  }
}
