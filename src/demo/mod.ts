/** The demo: a guest built from Debian's packages, booted from far away in four ways, measured. */
export {
  type Accelerator,
  type BootOptions,
  type BootResult,
  boot,
  chooseAccelerator,
  type DiskPlace,
} from './boot.ts';
export { findLauncher, type RunningCommand, startCommand } from './command.ts';
export { defaultCacheDirectory, type Guest, type GuestOptions, prepareGuest } from './guest.ts';
export { privateNamespace, runStagesOutside } from './outside.ts';
export { type GuestKind, guestKinds } from './recipe.ts';
export { createReporter, type Reporter } from './reporter.ts';
export {
  runStages,
  type StageEvent,
  type StageName,
  type StageResult,
  type StagesOptions,
  stageNames,
} from './stages.ts';
export { formatTable } from './table.ts';
export type { BuildProgress } from './workshop.ts';
