/** Floor 2: the dirty log, data that clients wrote and the origin does not have yet. */
export type * from './contract.ts';
export { DirtyLog } from './dirty-log.ts';
export {
  type InspectedDamage,
  type InspectedFile,
  type InspectedLog,
  type InspectedSegment,
  inspectLog,
  type SalvagedRange,
  salvageLog,
} from './inspect.ts';
export { type LogId, logId } from './log-id.ts';
export { type SystemLogDirectoryOptions, systemLogDirectory } from './system-directory.ts';
