/** Floor 0: what every other folder may use. */
export { abortSocket } from './abort-socket.ts';
export { counted, formatSize } from './amounts.ts';
export { AssertionError, assert, unreachable } from './assert.ts';
export { type Clock, sleep, systemClock, type Timer } from './clock.ts';
export { type ErrorCode, type ErrorDetail, errorCatalogue, systemCode, ViaductError } from './errors.ts';
export { chain, type Eventual, isPromise } from './eventual.ts';
export { inParallel } from './in-parallel.ts';
export { limits } from './limits.ts';
export { type Log, silentLog } from './log.ts';
export { nearest, nearestText } from './nearest.ts';
export { type Random, seededRandom, systemRandom } from './random.ts';
export { type RuntimePlace, runtimeDirectory } from './runtime-directory.ts';
export { openSharedDatabase } from './shared-database.ts';
export {
  formatDuration,
  parseDuration,
  parseRate,
  parseSize,
  unlimited,
  writeDuration,
  writeSize,
} from './units.ts';
