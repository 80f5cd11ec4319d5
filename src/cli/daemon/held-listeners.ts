/**
 * Clients of a daemon that is started again need not be refused until it is loaded: where its sessions listened is noted, and the next
 * daemon listens there with its first lines. (libnfs, refused, asks again at once and without end; a few of its clients take all cores.)
 *
 *     a daemon: RUNTIME/listening.json ◄── places of its sessions, when all are open and when it ends
 *     the next: read ──► listen ──► each socket to the session that is opened there; those of sessions that are gone are closed
 *
 * Nobody accepts: connections and calls wait in the kernel. A place that somebody else has by now is passed over.
 */
import { closeSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runtimeDirectory } from '../../base/mod.ts';
import { listenOn, replaceFile } from '../../native/mod.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

export class HeldListeners {
  readonly #descriptors = new Map<string, number>();

  /** Those of the daemon that ran before. */
  static open(): HeldListeners {
    const held = new HeldListeners();
    for (const place of readPlaces()) {
      const descriptor = listenOn(place.host, place.port);
      if (descriptor >= 0) held.#descriptors.set(keyOf(place), descriptor);
    }
    return held;
  }

  take(host: string, port: number) {
    const key = keyOf({ host, port });
    const descriptor = this.#descriptors.get(key);
    if (descriptor === undefined) return undefined;
    this.#descriptors.delete(key);
    return { address: { host, port, descriptor }, close: () => closeSync(descriptor) };
  }

  keep(places: readonly Place[]): void {
    const wanted = new Set(places.map(keyOf));
    for (const [key, descriptor] of this.#descriptors) {
      if (wanted.has(key)) continue;
      this.#descriptors.delete(key);
      closeSync(descriptor);
    }
  }
}

/** For the next daemon; that it cannot be written costs time, and nothing else. */
export function notePlaces(places: readonly Place[]): void {
  try {
    replaceFile(notesFile(), JSON.stringify(places.map(({ host, port }) => ({ host, port }))), { isOnlyWriter: true });
  } catch {
    // The next daemon listens when its sessions are open.
  }
}

function readPlaces(): Place[] {
  try {
    const places: unknown = JSON.parse(readFileSync(notesFile(), 'utf8'));
    return Array.isArray(places) ? places.filter(isPlace) : [];
  } catch {
    return [];
  }
}

function isPlace(value: unknown): value is Place {
  if (typeof value !== 'object' || value === null || !('host' in value && 'port' in value)) return false;
  return (
    typeof value.host === 'string' &&
    Number.isInteger(value.port) &&
    Number(value.port) > 0 &&
    Number(value.port) < 65_536
  );
}

function notesFile(): string {
  return join(runtimeDirectory({ environment: process.env, uid: process.getuid?.() ?? 0 }), 'listening.json');
}

function keyOf({ host, port }: Place): string {
  return `${host}:${port}`;
}
