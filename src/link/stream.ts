/**
 * One direction of one connection: reads from a socket, sends over a line, writes to the other socket.
 *
 * ```
 *   idle ──start──► reading ◄──room──► paused (line full, or the window is held)
 *                      │ end, close
 *                      ▼
 *                   finished: the end travels on the line behind the last byte
 * ```
 *
 * Invariant: `held`, the bytes that were read and that the receiving kernel has not taken, goes at most one read above
 * `windowBytes`.
 */
import type { Socket } from 'node:net';
import { abortSocket } from '../base/mod.ts';
import type { Line, Receiver } from './line.ts';

export interface StreamOptions {
  readonly from: Socket;
  readonly to: Socket;
  readonly line: Line;
  readonly windowBytes: number;
}

export class Stream implements Receiver {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #line: Line;
  readonly #windowBytes: number;
  /** Bytes on the line and not yet given to the receiving socket. */
  #onLine = 0;
  #waitingForRoom = false;
  #finished = false;

  constructor(options: StreamOptions) {
    this.#from = options.from;
    this.#to = options.to;
    this.#line = options.line;
    this.#windowBytes = options.windowBytes;
  }

  start(): void {
    this.#from.on('data', (bytes: Uint8Array) => {
      this.#onLine += bytes.length;
      this.#line.send(this, bytes);
      this.#pauseIfFull();
    });
    this.#from.once('end', () => this.#finish(false));
    this.#from.once('close', (hadError) => this.#finish(hadError || !this.#from.readableEnded));
    this.#to.on('drain', () => this.#resumeIfRoom());
    this.#resumeIfRoom();
    if (this.#from.destroyed) this.#finish(true);
  }

  open(): void {
    this.#to.cork();
  }

  deliver(bytes: Uint8Array): void {
    this.#onLine -= bytes.length;
    if (!this.#to.destroyed) this.#to.write(bytes);
  }

  finish(aborted: boolean): void {
    if (this.#to.destroyed) return;
    if (aborted) abortSocket(this.#to);
    else this.#to.end();
  }

  flush(): void {
    this.#to.uncork();
    this.#resumeIfRoom();
  }

  get #held(): number {
    return this.#onLine + this.#to.writableLength;
  }

  #finish(aborted: boolean): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#line.finish(this, aborted);
  }

  #pauseIfFull(): void {
    if (this.#line.full) {
      this.#from.pause();
      this.#waitForRoom();
    } else if (this.#held > this.#windowBytes) this.#from.pause();
  }

  #resumeIfRoom(): void {
    if (this.#finished || this.#waitingForRoom || this.#held > this.#windowBytes / 2) return;
    if (this.#line.full) this.#waitForRoom();
    else this.#from.resume();
  }

  #waitForRoom(): void {
    if (this.#waitingForRoom) return;
    this.#waitingForRoom = true;
    this.#line.whenRoom(() => {
      this.#waitingForRoom = false;
      this.#resumeIfRoom();
    });
  }
}
