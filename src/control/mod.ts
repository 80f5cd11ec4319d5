/** Floor 7: what a running process says about itself. */
export { type AskOptions, askProcesses, type StatusAnswer } from './client.ts';
export { prepareRuntimeDirectory, type RuntimePlace, runtimeDirectory } from './runtime-directory.ts';
export { StatusServer, type StatusServerOptions } from './server.ts';
export type { ProcessStatus } from './status.ts';
