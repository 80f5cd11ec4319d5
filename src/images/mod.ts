/** Floor 5: content meta-data and packs of images on this host's disks: made, looked at, verified, adopted, kept current. */
export { type AdoptReport, adoptImage } from './adopt.ts';
export { type Crew, startCrew } from './crew.ts';
export { findImages } from './find.ts';
export { type InspectedImage, inspectImage } from './inspect.ts';
export type { KeeperPlan } from './keeper.ts';
export { type RunningKeeper, startKeeper } from './keeper-thread.ts';
export { type PackReport, packImage } from './pack.ts';
export { toBinary, toText } from './paths.ts';
export type { Progress, ReadingOptions } from './reading.ts';
export { type VerifyReport, verifyImage } from './verify.ts';
