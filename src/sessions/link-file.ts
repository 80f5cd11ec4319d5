/**
 * What the link to an origin was found to do, kept in the state directory for the next session (`link-HOST-PORT`, one line of JSON), so
 * that its first stream begins with what the link holds. Of the host, not of a session: the latest one to end says it.
 *
 * Invariants: it is a hint that is corrected by what is measured; the older it is, the less of it is believed; whatever is wrong with
 * the file, the session begins as if there were none. It is put in place by rename and never synced.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type Clock, type Log, systemCode } from '../base/mod.ts';
import type { LinkFigures, LinkMemory } from '../layers/mod.ts';
import { makeDirectory, replaceFile } from '../native/mod.ts';
import { parseOrigin } from '../origins/mod.ts';

const dayMs = 24 * 60 * 60 * 1000;
/** After so long half of the rate is believed; after `forgottenMs` nothing. */
const halfLifeMs = 7 * dayMs;
const forgottenMs = 60 * dayMs;

const schema = z.strictObject({
  version: z.literal(1),
  bytesPerMs: z.number().positive().max(1e8),
  roundTripMs: z.number().positive().max(2_000),
  at: z.number().min(0),
});

/** Undefined: there is no link to it. */
export function linkFilePath(stateDirectory: string, origin: string): string | undefined {
  const address = parseOrigin(origin);
  if (address.kind === 'directory') return undefined;
  return join(stateDirectory, `link-${address.host.replaceAll(/[^0-9a-zA-Z.-]/g, '_')}-${address.port ?? 2049}`);
}

export class LinkFile implements LinkMemory {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(path: string, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#path = path;
    this.#clock = clock;
    this.#log = log;
  }

  load(): LinkFigures | undefined {
    try {
      const { bytesPerMs, roundTripMs, at } = schema.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
      const ageMs = Math.max(0, this.#clock.wallTimeMs() - at);
      if (ageMs > forgottenMs) return undefined;
      return { bytesPerMs: bytesPerMs * 0.5 ** (ageMs / halfLifeMs), roundTripMs };
    } catch (error) {
      if (systemCode(error) !== 'ENOENT')
        this.#log.debug({ path: this.#path, cause: String(error) }, 'what the link was found to do cannot be read');
      return undefined;
    }
  }

  keep({ bytesPerMs, roundTripMs }: LinkFigures): void {
    try {
      const kept = { version: 1, bytesPerMs, roundTripMs, at: this.#clock.wallTimeMs() };
      schema.parse(kept);
      makeDirectory(dirname(this.#path), 0o700);
      replaceFile(this.#path, `${JSON.stringify(kept)}\n`);
    } catch (error) {
      this.#log.debug({ path: this.#path, cause: String(error) }, 'what the link was found to do cannot be kept');
    }
  }
}
