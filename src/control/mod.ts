/** Floor 7: what a running process says about itself, and what it can be asked to do. */
export { type AskOptions, askProcesses, type StatusAnswer } from './client.ts';
export { conflictsIn, type EndedSession, endedSessions, isLocked } from './ended-sessions.ts';
export { type FoundNote, LogIndex, type LogNote, stateBase } from './log-index.ts';
export { prepareRuntimeDirectory, type RuntimePlace, runtimeDirectory } from './runtime-directory.ts';
export { ControlServer, type ControlServerOptions } from './server.ts';
export { mayKeepChanges } from './silent.ts';
export type { ProcessStatus } from './status.ts';
export { askTask, type TaskAnswer, type TaskOptions } from './task-client.ts';
