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

/** Of one who catches up. */
interface Place {
  /** Undefined: events of another life. */
  seen: number | undefined;
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
    const place: Place = { seen: lastId === undefined ? Number.POSITIVE_INFINITY : this.#numberOf(lastId) };
    stream.pull(() => {
      const text = this.#behind(place);
      // Between the last that is kept and the next that happens there is no moment.
      if (text === undefined) this.#streams.add(stream);
      return text;
    });
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

  /** The next one, or that it is lost; undefined: all were seen. Moves the place on. */
  #behind(place: Place): string | undefined {
    const [oldest, newest] = [this.#kept[0]?.number, this.#kept.at(-1)?.number];
    const { seen } = place;
    if (seen === undefined) {
      place.seen = (oldest ?? 1) - 1;
      return this.#lost('the daemon was started again');
    }
    // Nothing has happened yet in this life: then nothing is lost to one of this life.
    if (oldest === undefined || newest === undefined || seen >= newest) return undefined;
    if (seen < oldest - 1) {
      place.seen = oldest - 1;
      return this.#lost(`events ${seen + 1} to ${oldest - 1} are not kept`);
    }
    place.seen = seen + 1;
    // Numbers have no gaps.
    return this.#kept[seen + 1 - oldest]!.text;
  }

  #lost(message: string): string {
    const lost: LostEvents = { kind: 'lost', time: new Date(this.#clock.wallTimeMs()).toISOString(), message };
    return messageText({ event: 'lost', data: lost });
  }

  /** Undefined: of another life, or made up. */
  #numberOf(id: string): number | undefined {
    const [, life, number] = /^([0-9a-z]{1,7})-(\d{1,15})$/.exec(id) ?? [];
    return life === this.#life ? Number(number) : undefined;
  }
}
