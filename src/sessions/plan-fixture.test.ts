/** The plan that the tests of sessions begin with: a directory served on a port of the moment. */
import { defaultAttributes, type SessionPlan } from './plan.ts';

export function servePlan(
  where: Pick<SessionPlan, 'origin' | 'stateDirectory'>,
  change: Partial<SessionPlan> = {},
): SessionPlan {
  return {
    kind: 'serve',
    listen: { host: '127.0.0.1', port: 0 },
    allow: [],
    writes: 'write-through',
    squash: 'none',
    connections: 2,
    attributes: defaultAttributes,
    readAheadBytes: 0,
    ...where,
    ...change,
  };
}
