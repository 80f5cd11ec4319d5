/** Floor 5: from a plan to a running session. */
export type { ErrorRecord, ListeningPlace, WorkerStats } from './messages.ts';
export {
  checkPlan,
  defaultAttributes,
  defaultConnections,
  isLoopback,
  type ListenRule,
  parseListen,
  type SessionPlan,
} from './plan.ts';
export { type RunningSession, type SessionOptions, type SessionStatus, startSession } from './session.ts';
export { describeStack, type LayerDescription, type StackDescription } from './stack.ts';
