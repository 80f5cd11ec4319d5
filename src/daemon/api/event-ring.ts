/**
 * The daemon's latest events, for those who follow and those who come back.
 *
 *     manager ──► [ oldest ... newest ]  1,000, as text ──► each stream at once
 *                       ^ Last-Event-ID: from the one behind it; `lost` first, if that is gone or of another daemon
 *
 * An id is `LIFE-NUMBER`: the number begins anew with the daemon, and its life tells the two apart.
 */
import { type Clock, limits, type Random } from '../../base/mod.ts';
import type { DaemonEvent, SessionManager } from '../contract.ts';
import { type EventStream, messageText } from './event-stream.ts';
import type { LostEvents } from './schemas.ts';

interface Kept {
  readonly number: number;
  readonly text: string;
}

export interface EventRingOptions {
  readonly manager: Pick<SessionManager, 'subscribe'>;
  readonly clock: Clock;
  readonly random: Random;
}

export class EventRing {
  readonly #life: string;
  readonly #clock: Clock;
  readonly #kept: Kept[] = [];
  readonly #streams = new Set<EventStream>();
  readonly #unsubscribe: () => void;

  constructor({ manager, clock, random }: EventRingOptions) {
    this.#life = random.uint32().toString(36);
    this.#clock = clock;
    this.#unsubscribe = manager.subscribe((event) => this.#take(event));
  }

  /** Without `lastId`: what happens from now on. */
  follow(stream: EventStream, lastId: string | undefined): void {
    if (lastId !== undefined) this.#catchUp(stream, lastId);
    if (stream.isOver) return;
    this.#streams.add(stream);
    stream.onOver(() => this.#streams.delete(stream));
  }

  close(): void {
    this.#unsubscribe();
  }

  #take(event: DaemonEvent): void {
    const text = messageText({ id: `${this.#life}-${event.number}`, data: event });
    this.#kept.push({ number: event.number, text });
    if (this.#kept.length > limits.daemonEvents) this.#kept.shift();
    for (const stream of this.#streams) stream.send(text);
  }

  #catchUp(stream: EventStream, lastId: string): void {
    const seen = this.#numberOf(lastId);
    const oldest = this.#kept[0]?.number;
    // Nothing has happened yet in this life: then nothing is lost to one of this life.
    const isComplete = seen !== undefined && (oldest === undefined || seen >= oldest - 1);
    if (!isComplete) {
      const message =
        seen === undefined ? 'the daemon was started again' : `events ${seen + 1} to ${oldest! - 1} are not kept`;
      const lost: LostEvents = { kind: 'lost', time: new Date(this.#clock.wallTimeMs()).toISOString(), message };
      stream.send(messageText({ event: 'lost', data: lost }));
    }
    for (const { number, text } of this.#kept) if (number > (seen ?? 0) && !stream.isOver) stream.send(text);
  }

  /** Undefined: of another life, or made up. */
  #numberOf(id: string): number | undefined {
    const [, life, number] = /^([0-9a-z]{1,7})-(\d{1,15})$/.exec(id) ?? [];
    return life === this.#life ? Number(number) : undefined;
  }
}
