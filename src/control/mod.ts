/** Floor 7: what a running process says about itself, and what it can be asked to do. */

export { type RuntimePlace, runtimeDirectory } from '../base/mod.ts';
export { type AskOptions, askBriefly, askProcesses, type StatusAnswer } from './client.ts';
export { conflictsIn, type EndedSession, endedSessions, isLocked, pendingIn } from './ended-sessions.ts';
export { type HeldRemotely, holdSession } from './hold-client.ts';
export type { Held, Hold } from './hold-server.ts';
export { type FoundNote, LogIndex, type LogNote, stateBase } from './log-index.ts';
export { prepareRuntimeDirectory } from './runtime-directory.ts';
export { ControlServer, type ControlServerOptions } from './server.ts';
export { mayKeepChanges } from './silent.ts';
export type { BriefStatus, HeldSession, ListedSession, ProcessStatus } from './status.ts';
export { askTask, type TaskAnswer, type TaskOptions } from './task-client.ts';
