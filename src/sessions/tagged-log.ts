/** A log whose lines say whose they are. */
import type { Log } from '../base/mod.ts';

export function taggedLog(log: Log, tag: object): Log {
  return {
    debug: (fields, message) => log.debug({ ...tag, ...fields }, message),
    info: (fields, message) => log.info({ ...tag, ...fields }, message),
    warn: (fields, message) => log.warn({ ...tag, ...fields }, message),
    error: (fields, message) => log.error({ ...tag, ...fields }, message),
  };
}
