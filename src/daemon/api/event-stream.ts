/**
 * Server-sent events (HTML standard, 9.2), and all who follow them.
 *
 *     send ──► response ──► socket ──► kernel        more than `limits.apiStreamBytes` not taken: cut off, and counted
 *     pull ◄── drain ──┘                             nothing taken between two comments: the same
 *
 * What happens is sent; what has happened is pulled, as fast as it is taken: however much it is, it waits where it is kept. Nobody who does not read costs more than that, and at most `limits.apiStreams` follow at a time. Comments keep quiet streams from being
 * taken for dead.
 */
import type { ServerResponse } from 'node:http';
import { type Clock, type Log, limits, type Timer, ViaductError } from '../../base/mod.ts';

const keepAliveMs = 15_000;

export interface Message {
  /** Absent: it is not one to come back to. */
  readonly id?: string | undefined;
  /** Absent: `message`. */
  readonly event?: string | undefined;
  readonly data: unknown;
}

export function messageText({ id, event, data }: Message): string {
  const head = `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}`;
  // JSON has no line breaks of its own.
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}

/** One who follows. */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #onSlow: (backlogBytes: number) => void;
  #isOver = false;
  /** Of what is pulled: whether it waits to be taken, and was taken since the last comment. */
  #isWaiting = false;
  #hasMoved = false;

  constructor(response: ServerResponse, onSlow: (backlogBytes: number) => void) {
    this.#response = response;
    this.#onSlow = onSlow;
    // Whoever hangs up is no error.
    response.on('error', () => {});
    response.on('close', () => {
      this.#isOver = true;
    });
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  onOver(action: () => void): void {
    this.#response.once('close', action);
  }

  send(text: string): void {
    if (this.#isOver) return;
    this.#response.write(text);
    if (this.#response.writableLength > limits.apiStreamBytes) this.#cutOff();
  }

  /** Asks for one text after the other until there is none: undefined. Nothing may be sent before that. */
  pull(next: () => string | undefined): void {
    this.#isWaiting = false;
    this.#hasMoved = true;
    while (!this.#isOver && !this.#response.writableNeedDrain) {
      const text = next();
      if (text === undefined) return;
      this.#response.write(text);
    }
    if (this.#isOver) return;
    this.#isWaiting = true;
    this.#response.once('drain', () => this.pull(next));
  }

  keepAlive(): void {
    if (!this.#isWaiting) this.send(': still here\n\n');
    else if (!this.#hasMoved) this.#cutOff();
    this.#hasMoved = false;
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#response.end();
  }

  #cutOff(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onSlow(this.#response.writableLength);
    this.#response.destroy();
  }
}

/** All who follow something. */
export class EventStreams {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #streams = new Set<EventStream>();
  #timer: Timer | undefined;
  #cutOff = 0;
  #cutOffBytes = 0;

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  stats(): { readonly open: number; readonly cutOff: number; readonly cutOffBytes: number } {
    return { open: this.#streams.size, cutOff: this.#cutOff, cutOffBytes: this.#cutOffBytes };
  }

  /** To be asked before the response is taken from whoever answers errors. */
  refuseIfFull(): void {
    if (this.#streams.size < limits.apiStreams) return;
    throw new ViaductError('DAEMON_BUSY', {
      cause: `${this.#streams.size} clients follow events or tasks, and there can be no more`,
      remedy: 'End some of them, or ask without "Accept: text/event-stream".',
    });
  }

  open(response: ServerResponse): EventStream {
    const stream = new EventStream(response, (backlogBytes) => {
      this.#cutOff++;
      this.#cutOffBytes += backlogBytes;
      this.#log.warn({ backlogBytes }, 'a client that follows events does not read them, and was cut off');
    });
    this.#streams.add(stream);
    stream.onOver(() => this.#streams.delete(stream));
    this.#timer ??= this.#clock.after(keepAliveMs, () => this.#keepAlive());
    return stream;
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const stream of this.#streams) stream.end();
  }

  #keepAlive(): void {
    for (const stream of this.#streams) stream.keepAlive();
    this.#timer = this.#streams.size === 0 ? undefined : this.#clock.after(keepAliveMs, () => this.#keepAlive());
  }
}
